DROP VIEW model_costs;
DROP TABLE model_sessions, models;
