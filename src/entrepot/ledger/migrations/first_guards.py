"""The first format's guards, as they were, for SQLite; the first format knew no other database."""

from __future__ import annotations

__all__ = ["SQLITE"]

SQLITE: dict[str, str] = {
    "accounts_no_update": """CREATE TRIGGER accounts_no_update BEFORE UPDATE ON accounts BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "accounts_no_delete": """CREATE TRIGGER accounts_no_delete BEFORE DELETE ON accounts BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "slots_no_update": """CREATE TRIGGER slots_no_update BEFORE UPDATE ON slots BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "slots_no_delete": """CREATE TRIGGER slots_no_delete BEFORE DELETE ON slots BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "hours_no_update": """CREATE TRIGGER hours_no_update BEFORE UPDATE ON hours BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "hours_no_delete": """CREATE TRIGGER hours_no_delete BEFORE DELETE ON hours BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "seals_no_update": """CREATE TRIGGER seals_no_update BEFORE UPDATE ON seals BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "seals_no_delete": """CREATE TRIGGER seals_no_delete BEFORE DELETE ON seals BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "entries_no_update": """CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "entries_no_delete": """CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "unit_lots_no_update": """CREATE TRIGGER unit_lots_no_update BEFORE UPDATE ON unit_lots BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "unit_lots_no_delete": """CREATE TRIGGER unit_lots_no_delete BEFORE DELETE ON unit_lots BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "postings_no_update": """CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "postings_no_delete": """CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "balances_by_seal_insert": """CREATE TRIGGER balances_by_seal_insert BEFORE INSERT ON balances BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE (SELECT busy FROM head) IS NOT 1;
END""",
    "balances_by_seal_update": """CREATE TRIGGER balances_by_seal_update BEFORE UPDATE ON balances BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE (SELECT busy FROM head) IS NOT 1;
END""",
    "balances_by_seal_delete": """CREATE TRIGGER balances_by_seal_delete BEFORE DELETE ON balances BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE (SELECT busy FROM head) IS NOT 1;
END""",
    "timeline_by_seal_insert": """CREATE TRIGGER timeline_by_seal_insert BEFORE INSERT ON timeline BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE (SELECT busy FROM head) IS NOT 1;
END""",
    "timeline_by_seal_update": """CREATE TRIGGER timeline_by_seal_update BEFORE UPDATE ON timeline BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE (SELECT busy FROM head) IS NOT 1;
END""",
    "timeline_by_seal_delete": """CREATE TRIGGER timeline_by_seal_delete BEFORE DELETE ON timeline BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE (SELECT busy FROM head) IS NOT 1;
END""",
    "head_one": """CREATE TRIGGER head_one BEFORE INSERT ON head BEGIN SELECT RAISE(ABORT, 'entrepot: append-only') WHERE EXISTS (SELECT 1 FROM head); END""",
    "head_stays": """CREATE TRIGGER head_stays BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'entrepot: append-only'); END""",
    "head_moves_by_seal": """CREATE TRIGGER head_moves_by_seal BEFORE UPDATE ON head BEGIN
    SELECT RAISE(ABORT, 'entrepot: derived') WHERE NEW.format <> OLD.format OR NEW.one <> OLD.one OR NOT (
        (OLD.busy = 0 AND NEW.busy = 1 AND NEW.seq = OLD.seq + 1
            AND EXISTS (SELECT 1 FROM seals s WHERE s.seq = NEW.seq AND s.hash = NEW.hash))
        OR (OLD.busy = 1 AND NEW.busy = 0 AND NEW.seq = OLD.seq AND NEW.hash = OLD.hash));
END""",
    "accounts_once": """CREATE TRIGGER accounts_once BEFORE INSERT ON accounts BEGIN
    SELECT RAISE(IGNORE) WHERE EXISTS (SELECT 1 FROM accounts WHERE account = NEW.account);
END""",
    "slots_once": """CREATE TRIGGER slots_once BEFORE INSERT ON slots BEGIN
    SELECT RAISE(IGNORE) WHERE EXISTS (SELECT 1 FROM slots WHERE slot = NEW.slot);
    SELECT RAISE(ABORT, 'entrepot: unknown slot') WHERE NEW.slot <> '' AND (
        date(NEW.first_day) IS NOT NEW.first_day OR date(NEW.end_day) IS NOT NEW.end_day OR NEW.slot IS NOT (
        NEW.first_day
        || CASE WHEN date(NEW.first_day, '+1 day') = NEW.end_day THEN '' ELSE '..' || NEW.end_day END
        || '/h' || substr('0' || NEW.hour_from, -2)
        || CASE WHEN NEW.hour_to = NEW.hour_from + 1 THEN '' ELSE '-' || substr('0' || NEW.hour_to, -2) END));
END""",
    "entries_follow": """CREATE TRIGGER entries_follow BEFORE INSERT ON entries BEGIN
    SELECT RAISE(ABORT, 'entrepot: not the next') WHERE NEW.seq IS NOT (SELECT seq + 1 FROM head) OR NEW.previous IS NOT (SELECT hash FROM head);
    SELECT RAISE(ABORT, 'entrepot: append-only') WHERE EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq OR e.id = NEW.id OR e.reverses = NEW.reverses);
END""",
    "unit_lots_open": """CREATE TRIGGER unit_lots_open BEFORE INSERT ON unit_lots BEGIN
    SELECT RAISE(ABORT, 'entrepot: not open') WHERE NEW.entry IS NOT (SELECT seq + 1 FROM head) OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.entry);
    SELECT RAISE(ABORT, 'entrepot: append-only') WHERE EXISTS (SELECT 1 FROM unit_lots u WHERE u.id = NEW.id);
END""",
    "postings_open": """CREATE TRIGGER postings_open BEFORE INSERT ON postings BEGIN
    SELECT RAISE(ABORT, 'entrepot: not open') WHERE NEW.entry IS NOT (SELECT seq + 1 FROM head) OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.entry);
    SELECT RAISE(ABORT, 'entrepot: unknown unit lot') WHERE NEW.unit_lot <> '' AND NOT EXISTS (
        SELECT 1 FROM unit_lots u WHERE u.id = NEW.unit_lot AND u.accelerator = NEW.commodity);
END""",
    "seals_check": """CREATE TRIGGER seals_check BEFORE INSERT ON seals BEGIN
    SELECT RAISE(ABORT, 'entrepot: not the next') WHERE NEW.seq IS NOT (SELECT seq + 1 FROM head) OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq);
    SELECT RAISE(ABORT, 'entrepot: no postings') WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.seq);
    SELECT RAISE(ABORT, 'entrepot: unbalanced') WHERE EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.seq GROUP BY commodity, unit_lot, slot HAVING sum(quantity) <> 0);
    SELECT RAISE(ABORT, 'entrepot: unknown account') WHERE EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.seq AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account = p.account));
    SELECT RAISE(ABORT, 'entrepot: unknown slot') WHERE EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.seq AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.slot = p.slot));
    SELECT RAISE(ABORT, 'entrepot: units and money') WHERE EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account WHERE p.entry = NEW.seq
        AND ((p.unit_lot = '' AND a.state IN ('available', 'offered', 'leased', 'sold', 'retired', 'on-order', 'in-transit')) OR (p.unit_lot <> '' AND a.state IN ('cash', 'receivable', 'payable', 'credit'))));
    SELECT RAISE(ABORT, 'entrepot: reversal differs') WHERE EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq AND e.reverses IS NOT NULL AND (
        NOT EXISTS (SELECT 1 FROM entries o WHERE o.id = e.reverses AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM postings p WHERE p.entry IN (e.seq, (SELECT o.seq FROM entries o WHERE o.id = e.reverses))
            GROUP BY account, commodity, unit_lot, slot HAVING sum(quantity) <> 0)));
END""",
    "seals_apply": """CREATE TRIGGER seals_apply AFTER INSERT ON seals BEGIN
    UPDATE head SET seq = NEW.seq, hash = NEW.hash, busy = 1;
    INSERT INTO balances (account, commodity, unit_lot, slot, quantity)
        SELECT account, commodity, unit_lot, slot, sum(quantity) FROM postings p WHERE p.entry = NEW.seq GROUP BY account, commodity, unit_lot, slot
        ON CONFLICT (account, commodity, unit_lot, slot) DO UPDATE SET quantity = quantity + excluded.quantity;
    INSERT OR IGNORE INTO timeline (account, commodity, unit_lot, hour, day, quantity)
        SELECT p.account, p.commodity, p.unit_lot, h.hour, CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END,
            coalesce((SELECT t.quantity FROM timeline t WHERE t.account = p.account AND t.commodity = p.commodity AND t.unit_lot = p.unit_lot AND t.hour = h.hour
                AND t.day < CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END ORDER BY t.day DESC LIMIT 1), 0)
        FROM postings p JOIN slots s ON s.slot = p.slot JOIN accounts a ON a.account = p.account
            JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to JOIN hours d ON d.hour < 2
        WHERE p.entry = NEW.seq AND p.slot <> '' AND a.nature = 'asset';
    INSERT INTO timeline (account, commodity, unit_lot, hour, day, quantity)
        SELECT t.account, t.commodity, t.unit_lot, t.hour, t.day, sum(p.quantity)
        FROM postings p JOIN slots s ON s.slot = p.slot JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to
            JOIN timeline t ON t.account = p.account AND t.commodity = p.commodity AND t.unit_lot = p.unit_lot AND t.hour = h.hour AND t.day >= s.first_day AND t.day < s.end_day
        WHERE p.entry = NEW.seq AND p.slot <> ''
        GROUP BY t.account, t.commodity, t.unit_lot, t.hour, t.day
        ON CONFLICT (account, commodity, unit_lot, hour, day) DO UPDATE SET quantity = quantity + excluded.quantity;
    SELECT RAISE(ABORT, 'entrepot: below zero') WHERE EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account
        WHERE p.entry = NEW.seq AND a.nature = 'asset' AND
        coalesce((SELECT b.quantity FROM balances b WHERE b.account = p.account AND b.commodity = p.commodity
            AND b.unit_lot = p.unit_lot AND b.slot = ''), 0)
        + min(0, coalesce((SELECT min(t.quantity) FROM timeline t WHERE t.account = p.account AND t.commodity = p.commodity AND t.unit_lot = p.unit_lot), 0)) < 0);
    SELECT RAISE(ABORT, 'entrepot: above zero') WHERE EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account
        JOIN balances b ON b.account = p.account AND b.commodity = p.commodity
            AND b.unit_lot = p.unit_lot AND b.slot = p.slot
        WHERE p.entry = NEW.seq AND a.nature = 'liability' AND b.quantity > 0);
    UPDATE head SET busy = 0;
END""",
}
