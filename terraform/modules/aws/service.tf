# Who may reach what: CloudFront the load balancer, that the instances, and they the
# database and each other.

data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

resource "aws_security_group" "balancer" {
  name_prefix = "${var.name}-balancer-"
  description = "From CloudFront"
  vpc_id      = var.vpc_id
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "service" {
  name_prefix = "${var.name}-service-"
  description = "Instances of conmotiond"
  vpc_id      = var.vpc_id
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "database" {
  name_prefix = "${var.name}-database-"
  description = "From the instances"
  vpc_id      = var.vpc_id
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  security_group_id = aws_security_group.balancer.id
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront.id
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each                     = toset(["8080", "9090"])
  security_group_id            = aws_security_group.balancer.id
  referenced_security_group_id = aws_security_group.service.id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
}

resource "aws_vpc_security_group_ingress_rule" "service" {
  for_each                     = { http = ["8080", aws_security_group.balancer.id], admin = ["9090", aws_security_group.balancer.id], replica = ["8080", aws_security_group.service.id] }
  security_group_id            = aws_security_group.service.id
  referenced_security_group_id = each.value[1]
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value[0])
  to_port                      = tonumber(each.value[0])
}

resource "aws_vpc_security_group_egress_rule" "service" {
  security_group_id = aws_security_group.service.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = aws_security_group.service.id
  ip_protocol                  = "tcp"
  from_port                    = 3306
  to_port                      = 3306
}

resource "aws_lb" "service" {
  name                       = var.name
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
}

resource "aws_lb_target_group" "service" {
  name                 = var.name
  port                 = 8080
  protocol             = "HTTP"
  vpc_id               = var.vpc_id
  deregistration_delay = 30
  health_check {
    port                = "9090"
    path                = "/readyz"
    interval            = 5
    timeout             = 4
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "service" {
  load_balancer_arn = aws_lb.service.arn
  port              = 80
  protocol          = "HTTP"
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service.arn
  }
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
}

module "instance" {
  source   = "../instance"
  issuer   = var.issuer
  program  = var.program
  packages = ["amazon-cloudwatch-agent"]
  secrets = {
    keys     = "aws secretsmanager get-secret-value --region ${local.region} --secret-id ${aws_secretsmanager_secret.keys.arn} --query SecretBinary --output text | base64 -d"
    password = "aws secretsmanager get-secret-value --region ${local.region} --secret-id ${aws_secretsmanager_secret.password.arn} --query SecretString --output text"
  }
  artifact_readers = var.artifact_readers
  flags = merge(
    {
      storage         = "s3://${local.bucket}?region=${local.region}"
      artifacts       = "s3://${local.private}?region=${local.region}"
      snapshots       = "s3://${local.snapshots}?region=${local.region}"
      database        = "mysql://conmotion@${aws_rds_cluster.this.endpoint}:3306/conmotion"
      trusted-proxies = join(",", concat(data.aws_vpc.this.cidr_block_associations[*].cidr_block, data.aws_ec2_managed_prefix_list.cloudfront.entries[*].cidr))
    },
    var.flags,
  )
  files = [
    { path = "/etc/conmotion/prometheus.yaml", content = local.scrape },
    { path = "/etc/conmotion/cloudwatch.json", content = local.agent },
  ]
  before = [
    # The database's certificate is by an authority that the system does not know.
    "curl -fsSL --retry 5 -o /etc/pki/ca-trust/source/anchors/rds.pem https://truststore.pki.rds.amazonaws.com/${local.region}/${local.region}-bundle.pem",
    "update-ca-trust",
  ]
  after = ["/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:/etc/conmotion/cloudwatch.json"]
}

resource "aws_launch_template" "service" {
  name_prefix            = "${var.name}-"
  image_id               = data.aws_ssm_parameter.image.insecure_value
  instance_type          = var.instance_type
  user_data              = base64encode(module.instance.user_data)
  vpc_security_group_ids = [aws_security_group.service.id]
  iam_instance_profile {
    arn = aws_iam_instance_profile.service.arn
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = var.disk_gib
      volume_type = "gp3"
      encrypted   = "true"
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = var.name }
  }
}

# An instance whose service does not become ready is not replaced: an index that is made
# anew takes its time, and the database, not this group, says who writes.
resource "aws_autoscaling_group" "service" {
  name                = var.name
  min_size            = var.instances
  max_size            = var.instances + 1
  desired_capacity    = var.instances
  vpc_zone_identifier = var.subnet_ids
  target_group_arns   = [aws_lb_target_group.service.arn]
  health_check_type   = "EC2"
  launch_template {
    id      = aws_launch_template.service.id
    version = aws_launch_template.service.latest_version
  }
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 50
      instance_warmup        = "120"
    }
  }
  depends_on = [aws_rds_cluster_instance.this, aws_iam_role_policy.service]
}
