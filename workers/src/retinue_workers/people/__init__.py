"""People in face collections: ``retinue faces``. Talks to Amazon Rekognition; knows no plugin."""
