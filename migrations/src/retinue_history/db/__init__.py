"""Connect to Postgres and turn its errors into the errors of this package."""
