"""Amazon Rekognition's image APIs as Retinue detectors."""
