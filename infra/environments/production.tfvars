# Production: two zones for everything, a standby database, and protection from deletion for
# everything that holds data.

environment         = "production"
protect             = true
endpoint_zone_count = 2
log_retention_days  = 365

database = {
  instance_class = "db.m7g.large"
  storage_gb     = 100
  max_storage_gb = 1000
  multi_az       = true
  backup_days    = 35
}

pools = {
  labels = {
    detectors = {
      rekognition-labels = { min_confidence = 0.5 }
      rekognition-faces  = {}
    }
    slo = { percent = 99, seconds = 900 }
  }
}
