# From nothing: a network of two public subnets, in which nothing is open to the
# outside, and the log in them.
#
#   export TF_VAR_database_password=$(openssl rand -hex 20)    # keep it
#   tofu init && tofu apply -var issuer=https://transparency.example -var certificate_arn=arn:aws:acm:us-east-1:... \
#       -var 'program={url="https://...", sha256="..."}'

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25"
    }
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "issuer" {
  type = string
}

variable "certificate_arn" {
  type = string
}

variable "program" {
  type = object({ url = string, sha256 = string })
}

variable "database_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

provider "aws" {
  region = var.region
}

data "aws_availability_zones" "here" {
  state = "available"
}

resource "aws_vpc" "this" {
  cidr_block           = "10.80.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "this" {
  count                   = 2
  vpc_id                  = aws_vpc.this.id
  cidr_block              = cidrsubnet(aws_vpc.this.cidr_block, 8, count.index)
  availability_zone       = data.aws_availability_zones.here.names[count.index]
  map_public_ip_on_launch = true # the way out; the security groups let nobody in
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "this" {
  count          = 2
  subnet_id      = aws_subnet.this[count.index].id
  route_table_id = aws_route_table.this.id
}

# The log's objects do not go through the internet gateway, and cost nothing to transfer.
resource "aws_vpc_endpoint" "s3" {
  vpc_id          = aws_vpc.this.id
  service_name    = "com.amazonaws.${var.region}.s3"
  route_table_ids = [aws_route_table.this.id]
}

module "conmotion" {
  source            = "../../modules/aws"
  issuer            = var.issuer
  certificate_arn   = var.certificate_arn
  vpc_id            = aws_vpc.this.id
  subnet_ids        = aws_subnet.this[*].id
  program           = var.program
  database_password = var.database_password
}

output "next" {
  value = module.conmotion.next
}
