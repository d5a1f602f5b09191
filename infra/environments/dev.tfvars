# A small environment to try things in: one zone for endpoints, no standby database, and
# `make destroy` may remove it.

environment         = "dev"
protect             = false
endpoint_zone_count = 1
log_retention_days  = 14

database = {
  instance_class    = "db.t4g.micro"
  backup_days       = 1
  apply_immediately = true
}

pools = {
  labels = {
    detectors = {
      rekognition-labels = { min_confidence = 0.5 }
      rekognition-faces  = {}
    }
  }
}
