"""How is the model fitted to published measurements, and what did it leave out?"""
