"""What a service keeps beside its repository: keys, jobs, first answers, the audit log."""
