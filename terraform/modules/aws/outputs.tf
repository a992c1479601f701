output "config" {
  description = "The configuration file of conmotiond."
  value       = module.instance.config
}

output "domain_name" {
  description = "Name that the issuer's host has to point to."
  value       = aws_cloudfront_distribution.this.domain_name
}

output "hosted_zone_id" {
  description = "Zone of that name, for an alias in Route 53."
  value       = aws_cloudfront_distribution.this.hosted_zone_id
}

output "log_bucket" {
  description = "Bucket of the log."
  value       = aws_s3_bucket.log.bucket
}

output "kms_keys" {
  description = "URIs of the keys in KMS, as the flags and key files of conmotiond take them."
  value       = local.uris
}

output "next" {
  description = "What to do next."
  value       = <<-EOT
    1. Point ${local.host} to ${aws_cloudfront_distribution.this.domain_name} (CNAME or alias).
    2. Make the keys on a machine that you trust, and give the service its own; instances wait for them:
         conmotiond keys --issuer ${var.issuer} --recovery-key recovery-key.pem${local.key_flags} keys
         tar -c -f keys.tar -C keys .
         aws secretsmanager put-secret-value --region ${local.region} --secret-id ${aws_secretsmanager_secret.keys.name} --secret-binary fileb://keys.tar
       Keep recovery-key.pem and a copy of keys.tar offline, and remove both from the machine.
    3. Wait until one instance is ready: https://${local.host}/checkpoint is there.
    4. conmotion keygen --out issuer.pem
       conmotion sign --key issuer.pem --sub first --out s.cose README.md
       conmotion submit --log ${var.issuer} --out transparent.cose s.cose
       conmotion verify --log ${var.issuer} --payload README.md transparent.cose
  EOT
}
