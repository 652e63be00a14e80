"""The dialects of model servers, sans-IO: bytes in, events out."""
