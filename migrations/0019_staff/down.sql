DROP TABLE staff_log;
DROP FUNCTION staff_log_is_final();
DROP TABLE staff_sessions;
DROP TABLE staff;
