// Package testkms speaks the wire protocols of key management services, for tests.
package testkms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/conmotion/conmotion/keys"
)

// Fault is what a service does wrong.
type Fault string

// Faults.
const (
	Throttled Fault = "ThrottlingException"
	Expired   Fault = "ExpiredTokenException"
	Silent    Fault = "silent"
	Wrong     Fault = "wrong signature"
)

// AWS is AWS KMS: GetPublicKey and Sign of its JSON 1.1 protocol.
type AWS struct {
	mu    sync.Mutex
	keys  map[string]crypto.Signer
	fault Fault
	signs map[string]int
}

// NewAWS starts the service, and has the SDK find it and credentials for it.
func NewAWS(t *testing.T) *AWS {
	a := &AWS{keys: map[string]crypto.Signer{}, signs: map[string]int{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"} {
		t.Setenv(name, value)
	}
	return a
}

// Put makes key the one with this id, and returns its URI.
func (a *AWS) Put(id string, key crypto.Signer) (uri string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	arn := "arn:aws:kms:eu-central-1:111122223333:key/" + id
	a.keys[arn] = key
	return "awskms:///" + arn
}

// Fail has all that is signed from now on fail so; "" for not.
func (a *AWS) Fail(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// Asked is how many signatures a key was asked for.
func (a *AWS) Asked(uri string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.signs[uri]
}

// ServeHTTP implements [http.Handler].
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct {
		KeyID            string `json:"KeyId"`
		Message          []byte
		MessageType      string
		SigningAlgorithm string
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, "SerializationException")
		return
	}
	a.mu.Lock()
	key, fault := a.keys[q.KeyID], a.fault
	if r.Header.Get("X-Amz-Target") == "TrentService.Sign" {
		a.signs["awskms:///"+q.KeyID]++
	}
	a.mu.Unlock()
	if key == nil {
		refuse(w, "NotFoundException")
		return
	}
	spec, algorithm, hash := awsKind(key.Public())
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.GetPublicKey":
		der, err := keys.MarshalSPKI(key.Public())
		if err != nil {
			refuse(w, "KMSInternalException")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": q.KeyID, "KeySpec": spec, "KeyUsage": "SIGN_VERIFY", "PublicKey": der, "SigningAlgorithms": []string{algorithm}})
	case "TrentService.Sign":
		kind := "DIGEST"
		if hash == 0 {
			kind = "RAW"
		}
		switch {
		case fault == Silent:
			<-r.Context().Done()
			return
		case fault != "" && fault != Wrong:
			refuse(w, string(fault))
			return
		case q.SigningAlgorithm != algorithm || q.MessageType != kind || len(q.Message) > 4096 || hash != 0 && len(q.Message) != hash.Size():
			refuse(w, "ValidationException")
			return
		case fault == Wrong:
			q.Message = append([]byte(nil), q.Message...)
			q.Message[0] ^= 1
		}
		signature, err := key.Sign(rand.Reader, q.Message, hash)
		if err != nil {
			refuse(w, "KMSInternalException")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": q.KeyID, "Signature": signature, "SigningAlgorithm": algorithm})
	default:
		refuse(w, "UnknownOperationException")
	}
}

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":%q,"message":"as the test wants it"}`, code)
}

func awsKind(public crypto.PublicKey) (spec, algorithm string, hash crypto.Hash) {
	switch key := public.(type) {
	case ed25519.PublicKey:
		return "ECC_NIST_EDWARDS25519", "ED25519_SHA_512", 0
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return "ECC_NIST_P256", "ECDSA_SHA_256", crypto.SHA256
		case 384:
			return "ECC_NIST_P384", "ECDSA_SHA_384", crypto.SHA384
		}
		return "ECC_NIST_P521", "ECDSA_SHA_512", crypto.SHA512
	}
	return "ML_DSA_44", "ML_DSA_SHAKE_256", 0
}
