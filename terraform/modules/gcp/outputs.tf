output "config" {
  description = "The configuration file of conmotiond."
  value       = module.instance.config
}

output "address" {
  description = "Address that the issuer's host has to point to."
  value       = google_compute_global_address.this.address
}

output "log_bucket" {
  description = "Bucket of the log."
  value       = google_storage_bucket.log.name
}

output "kms_keys" {
  description = "URIs of the keys in KMS, as the flags and key files of conmotiond take them."
  value       = local.uris
}

output "next" {
  description = "What to do next."
  value       = <<-EOT
    1. Point ${local.host} to ${google_compute_global_address.this.address}; Google then makes its certificate, which may take an hour.
    2. Make the keys on a machine that you trust, and give the service its own; instances wait for them:
         conmotiond keys --issuer ${var.issuer} --recovery-key recovery-key.pem${local.key_flags} keys
         tar -c -f keys.tar -C keys .
         gcloud secrets versions add ${google_secret_manager_secret.keys.secret_id} --project=${var.project} --data-file=keys.tar
       Keep recovery-key.pem and a copy of keys.tar offline, and remove both from the machine.
    3. Wait until one instance is ready: https://${local.host}/checkpoint is there.
    4. conmotion keygen --out issuer.pem
       conmotion sign --key issuer.pem --sub first --out s.cose README.md
       conmotion submit --log ${var.issuer} --out transparent.cose s.cose
       conmotion verify --log ${var.issuer} --payload README.md transparent.cose
  EOT
}
