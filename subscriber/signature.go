package subscriber

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // SNS's signature version 1, refused without AllowSHA1
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The types of SNS's messages over HTTPS.
const (
	typeNotification   = "Notification"
	typeSubscription   = "SubscriptionConfirmation"
	typeUnsubscription = "UnsubscribeConfirmation"
)

// envelope is a message from SNS over HTTPS. See AWS, "Parsing Amazon SNS message formats".
type envelope struct {
	Type             string
	MessageID        string `json:"MessageId"`
	TopicArn         string
	Subject          *string // nil if there is none; then it is not signed
	Message          string
	Timestamp        string
	Token            string // only in the two confirmations, as is SubscribeURL
	SubscribeURL     string
	SignatureVersion string
	Signature        string
	SigningCertURL   string
}

// canonical returns the text that SNS signs: names and values of some fields, sorted by name, each on its own line. See
// AWS, "Verifying the signatures of Amazon SNS messages".
func (m envelope) canonical() (string, error) {
	fields := [][2]string{{"Message", m.Message}, {"MessageId", m.MessageID}}
	switch m.Type {
	case typeNotification:
		if m.Subject != nil {
			fields = append(fields, [2]string{"Subject", *m.Subject})
		}
		fields = append(fields, [2]string{"Timestamp", m.Timestamp})
	case typeSubscription, typeUnsubscription:
		fields = append(fields, [2]string{"SubscribeURL", m.SubscribeURL}, [2]string{"Timestamp", m.Timestamp},
			[2]string{"Token", m.Token})
	default:
		return "", fmt.Errorf("type %q is not an SNS message type", m.Type)
	}
	fields = append(fields, [2]string{"TopicArn", m.TopicArn}, [2]string{"Type", m.Type})
	var b strings.Builder
	for _, f := range fields {
		// With a line break in a field other than Message, two different messages could have the same signed text.
		if f[0] != "Message" && strings.Contains(f[1], "\n") {
			return "", fmt.Errorf("field %s has more than one line", f[0])
		}
		b.WriteString(f[0] + "\n" + f[1] + "\n")
	}
	return b.String(), nil
}

// verify checks the signature, RSA with PKCS #1 v1.5, with the certificate's key. The signature proves only the fields
// in canonical: SigningCertURL, SignatureVersion and, in a notification, SubscribeURL are not signed.
func (m envelope) verify(certificate *x509.Certificate) error {
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("the certificate's key is a %T, not an RSA key", certificate.PublicKey)
	}
	text, err := m.canonical()
	if err != nil {
		return err
	}
	signature, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil {
		return errors.New("the signature is not base64")
	}
	hash, known := map[string]crypto.Hash{"1": crypto.SHA1, "2": crypto.SHA256}[m.SignatureVersion]
	if !known {
		return fmt.Errorf("signature version %q is not an SNS signature version", m.SignatureVersion)
	}
	digest := hash.New()
	digest.Write([]byte(text))
	return rsa.VerifyPKCS1v15(key, hash, digest.Sum(nil), signature)
}
