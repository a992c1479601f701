# The log in S3 and Aurora MySQL, behind CloudFront, with instances of the service on
# EC2. README.md tells what it is, and what it costs.

terraform {
  required_version = ">= 1.11" # write-only arguments: no password is in a state file
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25"
    }
  }
}

data "aws_caller_identity" "me" {}

data "aws_region" "here" {}

data "aws_vpc" "this" {
  id = var.vpc_id
}

locals {
  account = data.aws_caller_identity.me.account_id
  region  = data.aws_region.here.region
  host    = trimprefix(var.issuer, "https://")
  bucket  = "${var.name}-log-${local.account}"
  private = "${var.name}-artifacts-${local.account}"
  # A new instance has no index.
  snapshots = "${var.name}-snapshots-${local.account}"
  metrics   = "conmotion/${var.name}"
}

# One key for what is not public.
resource "aws_kms_key" "private" {
  description         = "${var.name}: secrets, database and artifacts"
  enable_key_rotation = true
}

resource "aws_kms_alias" "private" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.private.key_id
}

# The keys of the service, as a tar archive, which conmotiond keys makes. Its content is
# put there by hand: it is in no state file.
resource "aws_secretsmanager_secret" "keys" {
  name        = "${var.name}/keys"
  description = "tar archive of the directory that conmotiond keys made"
  kms_key_id  = aws_kms_key.private.arn
  # Without protection a destroy gives the name free at once.
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

resource "aws_secretsmanager_secret" "password" {
  name                    = "${var.name}/database-password"
  kms_key_id              = aws_kms_key.private.arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "password" {
  secret_id                = aws_secretsmanager_secret.password.id
  secret_string_wo         = var.database_password
  secret_string_wo_version = var.database_password_version
}
