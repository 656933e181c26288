DROP TABLE activities, consents, link_attempts, link_requests;
