"""The S3 API on a tenant's space: its top-level collections are buckets, its files are objects."""
