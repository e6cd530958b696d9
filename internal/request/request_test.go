package request_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/request"
)

// sqsID matches the IDs that SQS accepts:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var sqsID = regexp.MustCompile("^[!-~]{1,128}$")

func TestParseReturnsTheRequestOfAMessage(t *testing.T) {
	cause := strings.Repeat("0123456789abcdef", 4) // the longest: a SHA-256
	groups, ids := map[string]bool{}, map[string]bool{}
	prefixes := []string{"", "staging", "größe/ :%-", strings.Repeat("long", 500), "all", "\x00"}
	for _, prefix := range prefixes {
		r := request.Request{Reason: "webhook", Prefix: &prefix, Cause: cause}
		m, err := r.Message()
		require.NoError(t, err)
		assert.Regexp(t, sqsID, m.Group)
		assert.Regexp(t, sqsID, m.DeduplicationID)
		hash := sha256.Sum256([]byte(prefix))
		assert.Equal(t, "e-"+hex.EncodeToString(hash[:])[:32], m.Group)
		groups[m.Group], ids[m.DeduplicationID] = true, true
		again, err := request.Parse(m.Body)
		require.NoError(t, err)
		assert.Equal(t, r, again)
	}
	m, err := request.Request{Reason: "webhook", Cause: cause}.Message()
	require.NoError(t, err)
	assert.Equal(t, "all", m.Group)
	groups[m.Group], ids[m.DeduplicationID] = true, true
	assert.Len(t, groups, len(prefixes)+1, "each environment has its own group, and all environments together have one")
	assert.Len(t, ids, len(prefixes)+1, "a webhook's requests for different environments have different IDs")

	other, err := request.Request{Reason: "webhook", Cause: "another webhook"}.Message()
	require.NoError(t, err)
	assert.NotEqual(t, m.DeduplicationID, other.DeduplicationID)
	_, err = request.Request{Reason: "webhook"}.Message()
	require.ErrorContains(t, err, "no cause")
}

func TestParse(t *testing.T) {
	prefix, empty := "staging", ""
	for body, want := range map[string]request.Request{
		`{"reason":"webhook","prefix":"staging","cause":"1"}`: {Reason: "webhook", Prefix: &prefix, Cause: "1"},
		`{"reason":"webhook","prefix":""}`:                    {Reason: "webhook", Prefix: &empty},
		`{"reason":"schedule","cause":"2"}`:                   {Reason: "schedule", Cause: "2"},
		// Requests of earlier versions:
		`{"reason":"webhook","sha256":"abc"}`:                              {Reason: "webhook"},
		`{"reason":"schedule","execution":"<aws.scheduler.execution-id>"}`: {Reason: "schedule"},
		"first": {Reason: "first"},
	} {
		got, err := request.Parse(body)
		require.NoError(t, err)
		assert.Equal(t, want, got, body)
	}
	for _, body := range []string{
		"", "second", "{", "[]", `"first"`, "null", "{}", `{"prefix":"s3cret"}`, `{"reason":1}`,
		`{"reason":"webhook","prefix":1}`,
	} {
		_, err := request.Parse(body)
		require.Error(t, err, body)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func ExampleRequest_Message() {
	prefix := "staging"
	m, _ := request.Request{Reason: "webhook", Prefix: &prefix, Cause: "5f70bf18"}.Message()
	fmt.Println(m.Body)
	fmt.Println(m.Group)
	// Output:
	// {"reason":"webhook","prefix":"staging","cause":"5f70bf18"}
	// e-e919a75364398a449f860aeadddc57fa
}
