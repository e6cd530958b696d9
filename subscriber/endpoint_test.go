package subscriber_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

func TestEndpointDelivers(t *testing.T) {
	s := &sink{}
	h := newEndpoint(t, s, subscriber.Prefix("staging"))
	post(h, oneSigner().sign(t, notification(message("staging", "first"))).json())
	assert.Equal(t, []string{"first", "*"}, s.take(), "changes before the first message are not known")
	for name, f := range map[string]fields{
		"with a subject":    notification(message("staging", "a", "b")),
		"without a subject": notification(message("staging", "a", "b")).with("Subject", nil),
		"empty subject":     notification(message("staging", "a", "b")).with("Subject", ""),
	} {
		t.Run(name, func(t *testing.T) {
			status, text := post(h, oneSigner().sign(t, f).json())
			assert.Equal(t, http.StatusOK, status, text)
			assert.Equal(t, []string{"a", "b"}, s.take())
		})
	}
	assert.Equal(t, subscriber.Stats{Messages: 4, Changes: 7, InvalidatedAll: 1}, stats(h))

	post(h, oneSigner().sign(t, notification(message("staging"))).json())
	assert.Equal(t, []string{"*"}, s.take(), "an empty message means that anything may have changed")
}

func TestEndpointDropsUnrelatedMessages(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		status  int
		want    subscriber.Stats
	}{
		"other prefix": {message("", "a"), 200, subscriber.Stats{OtherPrefix: 1}},
		"foreign":      {`{"type":"order.placed"}`, 200, subscriber.Stats{Foreign: 1}},
		"not JSON":     {`flags!`, 200, subscriber.Stats{Foreign: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			h := newEndpoint(t, s, subscriber.Prefix("staging"))
			status, _ := post(h, oneSigner().sign(t, notification(c.message)).json())
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.want, stats(h))
			assert.Empty(t, s.take())
		})
	}
}

// A message that cannot be read may have named any item.
func TestEndpointInvalidatesAllForAnUnreadableMessage(t *testing.T) {
	for _, body := range []string{`{"type":"warmflags.changed.v1","data":{}}`, `{"type":"warmflags.changed.v1","da`} {
		s := &sink{}
		h := newEndpoint(t, s, subscriber.Prefix("staging"))
		post(h, oneSigner().sign(t, notification(message("staging", "a"))).json())
		s.take()
		status, _ := post(h, oneSigner().sign(t, notification(body)).json())
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, subscriber.Stats{Messages: 1, Changes: 1, Unreadable: 1, InvalidatedAll: 2}, stats(h))
	}
}

// Every signed field, altered after signing, must break the signature; so must the signature itself.
func TestEndpointRefusesAlteredFields(t *testing.T) {
	later := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	for kind, signed := range map[string]fields{
		"notification": notification(message("", "a")), "confirmation": confirmation(),
	} {
		signed := oneSigner().sign(t, signed)
		altered := fields{
			"Message": message("", "b"), "MessageId": "other", "Timestamp": later, "Type": "UnsubscribeConfirmation",
			"TopicArn": topic + "x", "SignatureVersion": "3", "Signature": "AAAA",
		}
		if kind == "notification" {
			altered["Subject"] = "other"
		} else {
			altered["Token"], altered["SubscribeURL"] = "other", "https://sns.us-east-1.amazonaws.com/?other"
		}
		for field, value := range altered {
			t.Run(kind+" "+field, func(t *testing.T) {
				s := &sink{}
				h := newEndpoint(t, s, subscriber.SNSClient(&fakeSNS{}))
				status, _ := post(h, signed.with(field, value).json())
				assert.Equal(t, http.StatusForbidden, status)
				assert.Empty(t, s.take())
				assert.Equal(t, subscriber.Stats{Refused: 1}, stats(h))

				status, _ = post(h, signed.json())
				assert.Equal(t, http.StatusOK, status, "the message is valid without the alteration")
			})
		}
	}
}

func TestEndpointRefuses(t *testing.T) {
	sign := func(f fields) []byte { return oneSigner().sign(t, f).json() }
	good := notification(message("", "a"))
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	for name, c := range map[string]struct {
		body   []byte
		status int
		text   string
	}{
		"another key":          {newSigner("sns.amazonaws.com").sign(t, good).json(), 403, "signature is wrong"},
		"another topic":        {sign(good.with("TopicArn", topic+"2")), 403, "another topic"},
		"no topic":             {sign(good.with("TopicArn", nil)), 403, "another topic"},
		"no signature":         {good.json(), 403, "signature is wrong"},
		"signature not base64": {good.with("Signature", "%").json(), 403, "signature is wrong"},
		"unknown type":         {sign(good.with("Type", "Other")), 403, "signature is wrong"},
		"version 1":            {sign(good.with("SignatureVersion", "1")), 403, "SignatureVersion to 2"},
		"no version":           {sign(good.with("SignatureVersion", nil)), 403, "signature is wrong"},
		"too old":              {sign(good.with("Timestamp", at(-76*time.Minute))), 403, "too old"},
		"from the future":      {sign(good.with("Timestamp", at(16*time.Minute))), 403, "too old"},
		"no timestamp":         {sign(good.with("Timestamp", nil)), 400, "timestamp"},
		"lines in a field": {sign(good.with("MessageId", "1\nSubject\nx").with("Subject", nil)), 403,
			"signature is wrong"},
		"not JSON":              {[]byte("hello"), 400, "not an SNS message"},
		"empty":                 {nil, 400, "not an SNS message"},
		"field of another type": {[]byte(`{"Type":7}`), 400, "not an SNS message"},
		"huge":                  {bytes.Repeat([]byte(" "), 2<<20+1), 413, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			h := newEndpoint(t, s)
			status, text := post(h, c.body)
			assert.Equal(t, c.status, status)
			assert.Contains(t, text, c.text)
			assert.Empty(t, s.take())
			assert.Equal(t, subscriber.Stats{Refused: 1}, stats(h))
		})
	}
	t.Run("GET", func(t *testing.T) {
		h, w := newEndpoint(t, &sink{}), httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, "POST", w.Header().Get("Allow"))
	})
	t.Run("raw delivery", func(t *testing.T) {
		h, w := newEndpoint(t, &sink{}), httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(message("", "a")))
		r.Header.Set("x-amz-sns-rawdelivery", "true")
		h.ServeHTTP(w, r)
		assert.Equal(t, http.StatusBadRequest, w.Code)
		assert.Contains(t, w.Body.String(), "RawMessageDelivery to false")
	})
}

func TestEndpointAcceptsLateRetriesAndReplays(t *testing.T) {
	s := &sink{}
	h := newEndpoint(t, s)
	body := oneSigner().sign(t, notification(message("", "a")).with("Timestamp",
		time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))).json()
	for _, want := range [][]string{{"a", "*"}, {"a"}} {
		status, _ := post(h, body)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, want, s.take(), "a replay costs one more read")
	}
}

func TestEndpointAllowSHA1(t *testing.T) {
	s := &sink{}
	h := newEndpoint(t, s, subscriber.AllowSHA1())
	for version, want := range map[string]string{"1": "a", "2": "b"} {
		f := notification(message("", want)).with("SignatureVersion", version)
		status, text := post(h, oneSigner().sign(t, f).json())
		assert.Equal(t, http.StatusOK, status, text)
		assert.Contains(t, s.take(), want)
	}
	// A SHA-1 signature is not accepted as version 2.
	old := oneSigner().sign(t, notification(message("", "a")).with("SignatureVersion", "1"))
	status, _ := post(h, old.with("SignatureVersion", "2").json())
	assert.Equal(t, http.StatusForbidden, status)
}

// Over HTTP, SNS requests a confirmation, the endpoint confirms, and SNS posts a notification.
func TestEndpointOnATopic(t *testing.T) {
	w, s := newWeb(t, oneSigner()), &sink{}
	h := webEndpoint(t, w, s)
	server := httptest.NewTLSServer(h)
	defer server.Close()
	for _, c := range []struct {
		sent fields
		want string
	}{{confirmation(), "*"}, {notification(message("", "a")), "a"}} {
		body := bytes.NewReader(oneSigner().sign(t, c.sent).json())
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
		require.NoError(t, err)
		r.Header.Set("x-amz-sns-message-type", c.sent["Type"].(string))
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, []string{c.want}, s.take())
	}
	assert.Equal(t, "a+token", w.confirmed.Load().URL.Query().Get("Token"))
	assert.Equal(t, subscriber.Stats{Messages: 1, Changes: 1, InvalidatedAll: 1, Subscribed: 1}, stats(h))
}

// FuzzEnvelope looks for a request that panics, or that reaches the sink without the signature of the key.
func FuzzEnvelope(f *testing.F) {
	good := oneSigner().sign(f, notification(message("", "a")))
	f.Add(good.json())
	f.Add(oneSigner().sign(f, confirmation()).json())
	f.Add(good.with("Message", message("", "b")).json())
	f.Add([]byte(`{"TopicArn":"` + topic + `","message":"x","Message":"y"}`))
	s := &sink{}
	h := newEndpoint(f, s, subscriber.AllowSHA1(), subscriber.SNSClient(&fakeSNS{}))
	post(h, good.json())
	s.take() // including the InvalidateAll of the first message
	f.Fuzz(func(t *testing.T, body []byte) {
		post(h, body)
		// Only messages that were signed above can reach the sink.
		if keys := s.take(); len(keys) > 0 && !slices.Equal(keys, []string{"a"}) && !slices.Equal(keys, []string{"*"}) {
			t.Fatalf("%q reached the sink: %q", keys, body)
		}
	})
}
