DROP TABLE erasures, activities, consents, link_attempts, link_requests;
