# Keys that sign in Cloud KMS, so that nobody can copy them. What they sign verifies for
# ever, so there is only ever one more of each, for a rotation: conmotiond key rotate --to URI.

locals {
  algorithms = { note = "EC_SIGN_ED25519", receipt = "EC_SIGN_P256_SHA256", service = "EC_SIGN_P256_SHA256" }
  uris       = { for name, key in google_kms_crypto_key.signing : name => "gcpkms://${key.id}/cryptoKeyVersions/1" }
  # What conmotiond keys is told of the first of each.
  key_flags = join("", [for purpose in keys(local.algorithms) : " --${purpose}-key ${local.uris["${purpose}-1"]}" if var.kms_keys > 0])
}

resource "google_kms_crypto_key" "signing" {
  for_each                   = { for key in setproduct(keys(local.algorithms), range(1, var.kms_keys + 1)) : join("-", key) => local.algorithms[key[0]] }
  name                       = each.key
  key_ring                   = google_kms_key_ring.private.id
  purpose                    = "ASYMMETRIC_SIGN"
  destroy_scheduled_duration = "2592000s"
  version_template {
    algorithm        = each.value
    protection_level = var.kms_protection_level
  }
}

# It signs, and reads the public half.
resource "google_kms_crypto_key_iam_member" "signing" {
  for_each      = google_kms_crypto_key.signing
  crypto_key_id = each.value.id
  role          = "roles/cloudkms.signerVerifier"
  member        = google_service_account.service.member
}
