# One machine on EC2, with a volume that outlives it. The document that makes it an
# instance of the service is the same for any cloud's machine with Debian or Ubuntu.
#
#   tofu init && tofu apply -var issuer=https://transparency.example -var image=ami-... -var 'program={url="https://...", sha256="..."}'

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25"
    }
  }
}

variable "issuer" {
  type = string
}

variable "image" {
  description = "Image of Debian 12 or later, or Ubuntu 24.04 or later, for arm64."
  type        = string
}

variable "program" {
  type = object({ url = string, sha256 = string })
}

module "vm" {
  source      = "../../modules/vm"
  issuer      = var.issuer
  program     = var.program
  data_device = "/dev/nvme1n1"
}

data "aws_vpc" "default" {
  default = true
}

resource "aws_security_group" "web" {
  name        = "conmotion"
  description = "HTTP and HTTPS from everywhere"
  vpc_id      = data.aws_vpc.default.id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  for_each          = { "80" = "tcp", "443" = "tcp" }
  security_group_id = aws_security_group.web.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = each.value
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.web.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_instance" "this" {
  ami                    = var.image
  instance_type          = "t4g.small"
  user_data              = module.vm.user_data
  vpc_security_group_ids = [aws_security_group.web.id]
  metadata_options {
    http_tokens = "required"
  }
  lifecycle {
    ignore_changes = [user_data] # it is for the first boot; see docs/recover.md for upgrades
  }
}

resource "aws_ebs_volume" "log" {
  availability_zone = aws_instance.this.availability_zone
  size              = 50
  type              = "gp3"
  encrypted         = true
  lifecycle {
    prevent_destroy = true # the log is there
  }
}

resource "aws_volume_attachment" "log" {
  device_name = "/dev/sdf" # /dev/nvme1n1 on the machine
  volume_id   = aws_ebs_volume.log.id
  instance_id = aws_instance.this.id
}

resource "aws_eip" "this" {
  instance = aws_instance.this.id
  domain   = "vpc"
}

output "address" {
  value = aws_eip.this.public_ip
}

output "next" {
  value = module.vm.next
}
