-- Forgets for whom the jobs of a day waited. :table as in change_jobs.
DELETE FROM job_links USING :table AS job WHERE job_links.dependent = job.id
