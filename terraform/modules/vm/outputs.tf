output "user_data" {
  description = "The document for cloud-init."
  value       = module.instance.user_data
}

output "config" {
  description = "The configuration file of conmotiond."
  value       = module.instance.config
}

output "caddyfile" {
  description = "The configuration of Caddy."
  value       = local.caddyfile
}

output "next" {
  description = "What to do next."
  value       = <<-EOT
    1. Point ${local.host} to the machine's address; Caddy then gets its certificate by itself.
    2. On the machine: move /var/lib/conmotion/private/recovery-key.pem to a place that is offline.
    3. Copy the other files of private/ that end in .pem, and service.json, once, apart from the log.
    4. conmotion keygen --out issuer.pem
       conmotion sign --key issuer.pem --sub first --out s.cose README.md
       conmotion submit --log ${var.issuer} --out transparent.cose s.cose
       conmotion verify --log ${var.issuer} --payload README.md transparent.cose
  EOT
}
