"""How good is the model on published rows: reading, answering, judging them."""
