package operate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/warmflags/warmflags/internal/webhook"
)

// maxAnswer is how much of a webhook's answer is read, in bytes.
const maxAnswer = 1 << 10

// WebhookAnswer is what a webhook's endpoint answered.
type WebhookAnswer struct {
	Status int
	Body   string        // at most 1024 bytes
	Took   time.Duration // from the request to the end of the answer
}

// PostWebhook posts a body, with these signatures, as LaunchDarkly does. The error is nil if there was any answer.
func PostWebhook(ctx context.Context, client *http.Client, url string, signatures []string, body []byte) (WebhookAnswer,
	error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return WebhookAnswer{}, fmt.Errorf("post to webhook %q: %w", url, err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, s := range signatures {
		r.Header.Add(webhook.SignatureHeader, s)
	}
	began := time.Now()
	answer, err := client.Do(r)
	if err != nil {
		return WebhookAnswer{}, fmt.Errorf("post to webhook: %w", err) // which names the URL
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return WebhookAnswer{}, fmt.Errorf("read answer of webhook %q: %w", url, err)
	}
	return WebhookAnswer{Status: answer.StatusCode, Body: string(text), Took: time.Since(began)}, nil
}

// WebhookURL returns the URL of the webhook for one environment: base with the prefix as the end of its path. The empty
// prefix stands for all environments, whose URL is base itself.
func WebhookURL(base, prefix string) string {
	if prefix == "" {
		return base
	}
	return strings.TrimSuffix(base, "/") + "/" + url.PathEscape(prefix)
}

// Meaning says what a signed request's answer means, and what to do about it; hint is empty for success. Doctor is the
// command that examines the deployment.
func (a WebhookAnswer) Meaning(doctor string) (text, hint string) {
	switch a.Status {
	case http.StatusAccepted:
		return "the signature is right, and the request for a sync is in the queue", ""
	case http.StatusUnauthorized:
		return "the webhook refuses the signature",
			"the secret is not the one in the stack's parameter; a new value is used at once, an old one for five minutes at most"
	case http.StatusBadRequest:
		return "the webhook refuses the prefix in the path", "the prefix must be UTF-8"
	case http.StatusNotFound, http.StatusForbidden:
		return "there is no webhook at this URL", "use the stack's output WebhookUrl"
	case http.StatusTooManyRequests:
		return "the API refuses requests for a while, because there were too many",
			"wait a minute; a lost webhook is made up for by the schedule"
	case http.StatusServiceUnavailable:
		return "the function cannot read its secret or reach its queue now", "run: " + doctor
	}
	return "the webhook failed", "the function's log has the reason; run: " + doctor
}
