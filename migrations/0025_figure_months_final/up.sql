-- Whether a month is worked out for the last time is said, and no longer concluded from when: what belongs to it comes for days
-- after its end. Additive: servers of the version before may run while this is applied, and leave what is worked out alone.

ALTER TABLE figure_months ADD COLUMN is_final boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN figure_months.is_final IS 'Worked out when all of it was counted and the days for what comes late were over: never again.';
