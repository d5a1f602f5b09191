ALTER TABLE runs VALIDATE CONSTRAINT ck_runs_outcome;
ALTER TABLE runs VALIDATE CONSTRAINT ck_runs_success_is_final;
ALTER TABLE runs VALIDATE CONSTRAINT ck_runs_error_unless_succeeded;
ALTER TABLE runs VALIDATE CONSTRAINT ck_runs_avoided_usd;
