DROP TABLE member_sessions;
DROP TABLE member_openings;
