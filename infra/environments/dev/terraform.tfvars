# What runs here. Change it, plan, apply.

pools = {
  labels = {
    detectors = {
      rekognition-labels = { min_confidence = 0.5 }
      rekognition-faces  = {}
    }
  }
}
