package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"

	"github.com/conmotion/conmotion/scitt"
)

// PBES2 of PKCS #5 (RFC 8018 section 6.2) with AES in CBC mode, which is what
// "openssl pkcs8" reads and writes. What is written derives its key with scrypt (RFC
// 7914), with the parameters of "openssl pkcs8 -scrypt": openssl refuses higher ones
// unless it is told. PBKDF2 is read too. The module that others use reads GCM as CBC, does not look at
// the padding and panics at an IV of another length, so this is ours.
var (
	oidPBES2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidAES256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}

	hashes = map[string]func() hash.Hash{
		"": sha1.New, "1.2.840.113549.2.7": sha1.New, // RFC 8018 appendix A.2: "prf ... DEFAULT algid-hmacWithSHA1"
		"1.2.840.113549.2.9": sha256.New, "1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
	}
	aesKeys = map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, oidAES256CBC.String(): 32}
)

// Costs of deriving a key: what is written, and the most that is read.
const (
	scryptN, scryptR, scryptP = 1 << 14, 8, 1

	maxIterations = 10_000_000
	maxScrypt     = 1 << 27 // bytes
	saltSize      = 16
)

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	Length     int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

type scryptParams struct {
	Salt    []byte
	N, R, P int
	Length  int `asn1:"optional"`
}

func exactly(der []byte, to any) error {
	rest, err := asn1.Unmarshal(der, to)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing bytes")
	}
	if err != nil {
		return fmt.Errorf("%w: DER: %w", scitt.ErrMalformed, err)
	}
	return nil
}

func decrypt(der, passphrase []byte) ([]byte, error) {
	var e encryptedKey
	var p pbes2
	if err := exactly(der, &e); err != nil {
		return nil, err
	}
	if !e.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("%w: the key is encrypted with %v, and PBES2 is read: openssl pkcs8 -topk8 -v2 aes-256-cbc", scitt.ErrAlgorithm, e.Algorithm.Algorithm)
	}
	if err := exactly(e.Algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	size, ok := aesKeys[p.Cipher.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("%w: the key is encrypted with the cipher %v, and AES-CBC is read", scitt.ErrAlgorithm, p.Cipher.Algorithm)
	}
	var iv []byte
	if err := exactly(p.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize || len(e.Data) == 0 || len(e.Data)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: the encrypted key does not consist of blocks", scitt.ErrMalformed)
	}
	key, err := derive(p.KDF, passphrase, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(e.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, e.Data)
	// RFC 8018 section 6.1.1: "The padding string PS shall consist of
	// 8 - (||M|| mod 8) octets all having value 8 - (||M|| mod 8)"; here blocks have 16.
	n := int(plain[len(plain)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) || plain[0] != 0x30 {
		return nil, errors.New("the passphrase is not that of the key")
	}
	return plain[:len(plain)-n], nil
}

func derive(kdf pkix.AlgorithmIdentifier, passphrase []byte, size int) ([]byte, error) {
	tooMuch := fmt.Errorf("%w: deriving the encrypted key costs too much, or its parameters are not valid", scitt.ErrMalformed)
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if err := exactly(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, err
		}
		h, ok := hashes[p.PRF.Algorithm.String()]
		if !ok {
			return nil, fmt.Errorf("%w: the key is derived with %v, and PBKDF2 with SHA-2 is read", scitt.ErrAlgorithm, p.PRF.Algorithm)
		}
		if p.Iterations < 1 || p.Iterations > maxIterations || p.Length != 0 && p.Length != size {
			return nil, tooMuch
		}
		return pbkdf2.Key(h, string(passphrase), p.Salt, p.Iterations, size)
	case kdf.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if err := exactly(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, err
		}
		if p.N < 2 || p.R < 1 || p.P < 1 || p.P > 4 || p.N > maxScrypt || p.R > maxScrypt || int64(p.N)*int64(p.R) > maxScrypt/128 || p.Length != 0 && p.Length != size {
			return nil, tooMuch
		}
		return scrypt.Key(passphrase, p.Salt, p.N, p.R, p.P, size)
	}
	return nil, fmt.Errorf("%w: the key is derived with %v, and PBKDF2 and scrypt are read", scitt.ErrAlgorithm, kdf.Algorithm)
}

func encrypt(der, passphrase []byte) ([]byte, error) {
	random := make([]byte, saltSize+aes.BlockSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	salt, iv := random[:saltSize], random[saltSize:]
	key, err := scrypt.Key(passphrase, salt, scryptN, scryptR, scryptP, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	n := aes.BlockSize - len(der)%aes.BlockSize
	data := append(bytes.Clone(der), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	var kdf, scheme pkix.AlgorithmIdentifier
	err = errors.Join(
		identify(&kdf, oidScrypt, scryptParams{Salt: salt, N: scryptN, R: scryptR, P: scryptP}),
		identify(&scheme, oidAES256CBC, iv))
	e := encryptedKey{Data: data}
	if err = errors.Join(err, identify(&e.Algorithm, oidPBES2, pbes2{kdf, scheme})); err != nil {
		return nil, err
	}
	return asn1.Marshal(e)
}

// identify sets an algorithm with its parameters.
func identify(a *pkix.AlgorithmIdentifier, oid asn1.ObjectIdentifier, parameters any) (err error) {
	a.Algorithm = oid
	a.Parameters.FullBytes, err = asn1.Marshal(parameters)
	return err
}
