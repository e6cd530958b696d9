package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// SignatureHeader holds the hex of an HMAC-SHA256 of the body, with the webhook's secret as key
// (https://launchdarkly.com/docs/home/infrastructure/webhooks#sign-a-webhook).
const SignatureHeader = "X-LD-Signature"

// Sign returns the header's value for a body.
func Sign(secret string, body []byte) string { return hex.EncodeToString(sum(secret, body)) }

// sum returns the signature as bytes.
func sum(secret string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return mac.Sum(nil)
}
