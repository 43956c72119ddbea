-- Into the minutes and into all time.
WITH new AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[],
                         $6::bigint[]) AS new (minute, queue, type, kind, bucket, count)
), minutes AS (
    INSERT INTO job_minute_durations AS old (minute, queue, type, kind, bucket, count)
    SELECT * FROM new
        ON CONFLICT (minute, queue, type, kind, bucket) DO UPDATE
       SET count = old.count + excluded.count
)
INSERT INTO job_durations AS old (queue, type, kind, bucket, count)
SELECT queue, type, kind, bucket, sum(count) FROM new
 GROUP BY queue, type, kind, bucket
 ORDER BY queue, type, kind, bucket
    ON CONFLICT (queue, type, kind, bucket) DO UPDATE SET count = old.count + excluded.count
