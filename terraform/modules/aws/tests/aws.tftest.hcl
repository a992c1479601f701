mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_vpc" {
    defaults = { cidr_block_associations = [{ cidr_block = "10.80.0.0/16" }, { cidr_block = "100.64.0.0/16" }] }
  }
  mock_data "aws_ec2_managed_prefix_list" {
    defaults = { entries = [{ cidr = "192.0.2.0/24" }] }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::bucket" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/1" }
  }
  mock_resource "aws_rds_cluster" {
    defaults = { endpoint = "db.example" }
  }
}

variables {
  issuer            = "https://transparency.example"
  certificate_arn   = "arn:aws:acm:us-east-1:123456789012:certificate/1"
  vpc_id            = "vpc-1"
  subnet_ids        = ["subnet-1", "subnet-2"]
  program           = { url = "https://files.example/conmotiond", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
  database_password = "abcdefghijklmnopqrstuvwx"
}

run "all_of_it" {
  assert {
    condition     = yamldecode(output.config).storage == "s3://conmotion-log-123456789012?region=eu-central-1" && yamldecode(output.config).artifacts == "s3://conmotion-artifacts-123456789012?region=eu-central-1"
    error_message = output.config
  }
  assert {
    condition     = yamldecode(output.config).database == "mysql://conmotion@db.example:3306/conmotion" && yamldecode(output.config).trusted-proxies == "10.80.0.0/16,100.64.0.0/16,192.0.2.0/24" && yamldecode(output.config).snapshots == "s3://conmotion-snapshots-123456789012?region=eu-central-1"
    error_message = output.config
  }
  assert {
    condition     = length(base64decode(aws_launch_template.service.user_data)) < 16384 && !strcontains(base64decode(aws_launch_template.service.user_data), "abcdefghijklmnopqrstuvwx")
    error_message = "User data has at most 16 KiB, and no password."
  }
  assert {
    condition     = one(aws_db_parameter_group.this.parameter).name == "log_bin_trust_function_creators" && one(aws_db_parameter_group.this.parameter).value == "1"
    error_message = "Without it the trigger that keeps other writers out cannot be made."
  }
  assert {
    condition     = alltrue([for i in aws_rds_cluster_instance.this : i.db_parameter_group_name == "conmotion" && !i.publicly_accessible]) && aws_rds_cluster.this.storage_encrypted
    error_message = "The database is private, encrypted, and has the parameters."
  }
  assert {
    condition     = aws_autoscaling_group.service.min_size == 2 && aws_lb.service.internal
    error_message = "Two instances, behind a load balancer that is not public."
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["checkpoint", "writer", "lag", "errors"])
    error_message = "An alarm is missing."
  }
}

# What an instance may do is written out here: a change of it is a decision.
run "least_privilege" {
  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.service.policy).Statement : s.Action])) == toset([
      "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "secretsmanager:GetSecretValue", "kms:Decrypt", "kms:GenerateDataKey",
      "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams",
    ])
    error_message = aws_iam_role_policy.service.policy
  }
  assert {
    condition     = length(output.kms_keys) == 0 && strcontains(output.next, "--recovery-key recovery-key.pem keys")
    error_message = output.next
  }
  assert {
    condition     = alltrue(flatten([for s in jsondecode(aws_iam_role_policy.service.policy).Statement : [for r in flatten([s.Resource]) : r != "*"]]))
    error_message = aws_iam_role_policy.service.policy
  }
  assert {
    condition     = !contains([for s in jsondecode(aws_iam_role_policy.service.policy).Statement : s.Action if s.Sid == "ArtifactObjects"][0], "s3:DeleteObject")
    error_message = "Nobody deletes artifacts."
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_public_access_block.this : b.block_public_policy && b.restrict_public_buckets && b.block_public_acls && b.ignore_public_acls])
    error_message = "Buckets are read through CloudFront, or not at all."
  }
  assert {
    condition     = alltrue([for p in aws_s3_bucket_policy.private : [for s in jsondecode(p.policy).Statement : s.Effect] == ["Deny"]])
    error_message = aws_s3_bucket_policy.private["artifacts"].policy
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_role_policy.shell.policy).Statement : alltrue([for a in s.Action : startswith(a, "ssmmessages:") || a == "ssm:UpdateInstanceInformation"])])
    error_message = aws_iam_role_policy.shell.policy
  }
}

# The service signs with the keys and does nothing else with them.
run "keys_in_kms" {
  variables {
    kms_keys = 2
  }
  assert {
    condition     = toset(keys(output.kms_keys)) == toset(["note-1", "note-2", "receipt-1", "receipt-2", "service-1", "service-2"]) && output.kms_keys["note-1"] == "awskms:///arn:aws:kms:eu-central-1:123456789012:key/1"
    error_message = "Two keys of each."
  }
  assert {
    condition     = alltrue([for name, key in aws_kms_key.signing : key.key_usage == "SIGN_VERIFY" && key.customer_master_key_spec == (startswith(name, "note") ? "ECC_NIST_EDWARDS25519" : "ECC_NIST_P256")])
    error_message = "The note key is Ed25519, and the others are ES256."
  }
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.service.policy).Statement : toset(s.Action) if s.Sid == "SigningKeys"]) == toset(["kms:GetPublicKey", "kms:Sign"])
    error_message = aws_iam_role_policy.service.policy
  }
  assert {
    condition     = strcontains(output.next, "--recovery-key recovery-key.pem --note-key awskms:///arn:aws:kms:eu-central-1:123456789012:key/1 --receipt-key awskms:///arn")
    error_message = output.next
  }
}

# Each of these values is refused: the run fails where one of them is not. It is one run, since each
# starts all providers.
run "refused" {
  command = plan
  variables {
    kms_keys          = 0.5                                                   # half a key
    certificate_arn   = "arn:aws:acm:eu-central-1:123456789012:certificate/1" # a certificate of another region
    subnet_ids        = ["subnet-1", "subnet-1"]                              # one subnet
    instance_type     = "t3.small"                                            # a processor of another kind
    database_capacity = { min = 0, max = 8 }                                  # a database that pauses
    database_password = "secret"                                              # a short password
    name              = "a-name-that-load-balancers-do-not-take"              # a long name
    instances         = 0                                                     # no instance
  }
  expect_failures = [var.kms_keys, var.certificate_arn, var.subnet_ids, var.instance_type, var.database_capacity, var.database_password, var.name, var.instances]
}
