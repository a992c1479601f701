# What an instance may do, and nothing else.

resource "aws_iam_role" "service" {
  name = "${var.name}-service"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_instance_profile" "service" {
  name = "${var.name}-service"
  role = aws_iam_role.service.name
}

resource "aws_iam_role_policy" "service" {
  name = "conmotiond"
  role = aws_iam_role.service.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      { Sid = "LogObjects", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource = "${aws_s3_bucket.log.arn}/*" },
      { Sid = "ArtifactObjects", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = ["${aws_s3_bucket.artifacts.arn}/*", "${aws_s3_bucket.snapshots.arn}/*"] },
      { Sid = "Buckets", Effect = "Allow", Action = "s3:ListBucket", Resource = values(local.buckets)[*].arn },
      { Sid = "Secrets", Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = [aws_secretsmanager_secret.keys.arn, aws_secretsmanager_secret.password.arn] },
      { Sid = "Key", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = aws_kms_key.private.arn },
      { Sid = "Metrics", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"], Resource = ["${aws_cloudwatch_log_group.metrics.arn}:*"] },
      ], var.kms_keys == 0 ? [] : [
      { Sid = "SigningKeys", Effect = "Allow", Action = ["kms:GetPublicKey", "kms:Sign"], Resource = values(aws_kms_key.signing)[*].arn },
    ])
  })
}

# For a shell on an instance, without a port that is open: aws ssm start-session. These
# actions have no resources, and AWS's own policy for it would also let an instance read
# all parameters of the account.
resource "aws_iam_role_policy" "shell" {
  name = "shell"
  role = aws_iam_role.service.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
      Resource = "*"
    }]
  })
}
