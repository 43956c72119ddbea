-- Whether an event must stay, whatever its age, since a restore needs it: it says how a queue or a
-- schedule is set up, or it is of the last day on which a schedule fired or skipped.
CREATE FUNCTION event_stands(type text, partition text, "time" bigint, body json)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN $1 IN ('queue.paused', 'queue.resumed', 'queue.draining', 'queue.configured',
                    'queue.restored', 'schedule.created', 'schedule.deleted', 'schedule.paused',
                    'schedule.resumed') THEN true
        WHEN $1 IN ('schedule.fired', 'schedule.skipped') THEN NOT EXISTS (
            SELECT FROM job_events AS later
             WHERE later.job IS NULL AND later.type LIKE 'schedule.%' AND later.type = $1
               AND later.partition = $2
               AND substring(later.body::text from '"schedule":"([^"]*)"')
                   = substring($4::text from '"schedule":"([^"]*)"')
               AND later.time >= ($3 / 86400000 + 1) * 86400000)
        ELSE false
    END
$$;

-- Whether a job waits for this one, or did: how it ended must be known as long as that one waits.
CREATE FUNCTION job_awaited(parent uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM job_links AS link JOIN jobs AS waiting ON waiting.id = link.dependent
                    WHERE link.parent = $1 AND waiting.state = 'blocked')
$$;
