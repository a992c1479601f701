# CloudFront: the log's files from the bucket, all else from the service.

resource "aws_cloudfront_origin_access_control" "log" {
  name                              = "${var.name}-log"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

# Objects say by their Cache-Control how long they may be kept; a policy must not keep
# them longer or less long. A test compares these times with what the service writes.
resource "aws_cloudfront_cache_policy" "mutable" {
  name        = "${var.name}-mutable"
  comment     = "checkpoint: 1 second; keys and configuration: 60"
  min_ttl     = 0
  default_ttl = 1
  max_ttl     = 60
  parameters_in_cache_key_and_forwarded_to_origin {
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

resource "aws_cloudfront_cache_policy" "immutable" {
  name        = "${var.name}-immutable"
  comment     = "tiles and bundles: a year"
  min_ttl     = 0
  default_ttl = 1
  max_ttl     = 31536000
  parameters_in_cache_key_and_forwarded_to_origin {
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

data "aws_cloudfront_cache_policy" "disabled" {
  name = "Managed-CachingDisabled"
}

# CloudFront and the load balancer append to X-Forwarded-For; a Forwarded that a client
# sent would contradict it, and then the service believes neither.
resource "aws_cloudfront_origin_request_policy" "service" {
  name = "${var.name}-service"
  cookies_config {
    cookie_behavior = "none"
  }
  headers_config {
    header_behavior = "allExcept"
    headers {
      items = ["Forwarded", "Host"]
    }
  }
  query_strings_config {
    query_string_behavior = "all"
  }
}

resource "aws_cloudfront_vpc_origin" "service" {
  vpc_origin_endpoint_config {
    name                   = var.name
    arn                    = aws_lb.service.arn
    http_port              = 80
    https_port             = 443
    origin_protocol_policy = "http-only" # within the VPC
    origin_ssl_protocols {
      items    = ["TLSv1.2"]
      quantity = 1
    }
  }
}

locals {
  static = {
    "/checkpoint"                             = aws_cloudfront_cache_policy.mutable.id
    "/.well-known/scitt-keys"                 = aws_cloudfront_cache_policy.mutable.id
    "/.well-known/transparency-configuration" = aws_cloudfront_cache_policy.mutable.id
    "/tile/*"                                 = aws_cloudfront_cache_policy.immutable.id
  }
}

resource "aws_cloudfront_distribution" "this" {
  comment         = var.issuer
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = "PriceClass_All"
  aliases         = [local.host]

  origin {
    origin_id                = "log"
    domain_name              = aws_s3_bucket.log.bucket_regional_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.log.id
  }

  origin {
    origin_id   = "service"
    domain_name = aws_lb.service.dns_name
    vpc_origin_config {
      vpc_origin_id            = aws_cloudfront_vpc_origin.service.id
      origin_read_timeout      = 30
      origin_keepalive_timeout = 30
    }
  }

  dynamic "ordered_cache_behavior" {
    for_each = local.static
    content {
      path_pattern           = ordered_cache_behavior.key
      target_origin_id       = "log"
      cache_policy_id        = ordered_cache_behavior.value
      viewer_protocol_policy = "redirect-to-https"
      allowed_methods        = ["GET", "HEAD"]
      cached_methods         = ["GET", "HEAD"]
    }
  }

  default_cache_behavior {
    target_origin_id         = "service"
    cache_policy_id          = data.aws_cloudfront_cache_policy.disabled.id
    origin_request_policy_id = aws_cloudfront_origin_request_policy.service.id
    viewer_protocol_policy   = "https-only"
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
  }

  # A tile that is not there now may be there in a second.
  dynamic "custom_error_response" {
    for_each = [403, 404, 500, 502, 503, 504]
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = 0
    }
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }
}
