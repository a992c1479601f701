output "user_data" {
  description = "The document for cloud-init."
  value       = local.user_data
}

output "config" {
  description = "The configuration file of conmotiond."
  value       = local.config
}
