# The bucket of the log, which everybody reads through CloudFront, and the buckets of
# artifacts and of snapshots of the index, which nobody else reads.

resource "aws_s3_bucket" "log" {
  bucket        = local.bucket
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket" "artifacts" {
  bucket        = local.private
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket" "snapshots" {
  bucket        = local.snapshots
  force_destroy = true # they are made anew
}

locals {
  buckets = { log = aws_s3_bucket.log, artifacts = aws_s3_bucket.artifacts, snapshots = aws_s3_bucket.snapshots }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = local.buckets
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# What is overwritten or deleted by mistake can be put back for a week.
resource "aws_s3_bucket_versioning" "this" {
  for_each = { log = aws_s3_bucket.log.id, artifacts = aws_s3_bucket.artifacts.id }
  bucket   = each.value
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = { log = aws_s3_bucket.log.id, artifacts = aws_s3_bucket.artifacts.id }
  bucket   = each.value
  rule {
    id     = "old versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
    expiration {
      expired_object_delete_marker = true
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "private" {
  for_each = { artifacts = aws_s3_bucket.artifacts.id, snapshots = aws_s3_bucket.snapshots.id }
  bucket   = each.value
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.private.arn
    }
  }
}

locals {
  only_tls = {
    for name, bucket in local.buckets : name => {
      Sid       = "OnlyTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [bucket.arn, "${bucket.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }
}

# CloudFront may list the bucket so that S3 answers 404 and not 403 for an object that is
# not there: readers ask for files that may not be there. It never sends a request that lists.
resource "aws_s3_bucket_policy" "log" {
  bucket = aws_s3_bucket.log.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.only_tls.log,
      {
        Sid       = "CloudFront"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = ["s3:GetObject", "s3:ListBucket"]
        Resource  = [aws_s3_bucket.log.arn, "${aws_s3_bucket.log.arn}/*"]
        Condition = { StringEquals = { "aws:SourceArn" = aws_cloudfront_distribution.this.arn } }
      },
    ]
  })
}

resource "aws_s3_bucket_policy" "private" {
  for_each = { artifacts = aws_s3_bucket.artifacts.id, snapshots = aws_s3_bucket.snapshots.id }
  bucket   = each.value
  policy   = jsonencode({ Version = "2012-10-17", Statement = [local.only_tls[each.key]] })
}
