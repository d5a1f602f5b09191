DROP TABLE quota_leases, quotas, monthly_spending;
