package subscriber_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

func TestEndpointConfirms(t *testing.T) {
	t.Run("at SNS's host, not at the message's URL", func(t *testing.T) {
		w, s := newWeb(t, oneSigner()), &sink{}
		h := webEndpoint(t, w, s)
		status, text := post(h, oneSigner().sign(t, confirmation().with("SubscribeURL", "https://evil.com/")).json())
		require.Equal(t, http.StatusOK, status, text)
		assert.Equal(t, "sns.us-east-1.amazonaws.com", w.confirmed.Load().Host)
		q := w.confirmed.Load().URL.Query()
		assert.Equal(t, []string{"ConfirmSubscription", topic, "a+token"},
			[]string{q.Get("Action"), q.Get("TopicArn"), q.Get("Token")})
		assert.Equal(t, []string{"*"}, s.take(), "earlier changes are not known")
		assert.Equal(t, subscriber.Stats{Subscribed: 1, InvalidatedAll: 1}, stats(h))
	})
	t.Run("by the API", func(t *testing.T) {
		api, s := &fakeSNS{}, &sink{}
		h := newEndpoint(t, s, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation()).json())
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, []string{topic + " a+token true"}, api.confirmed, "only authenticated calls can end it")
		assert.Equal(t, []string{"*"}, s.take())
	})
	t.Run("SNS must retry after an error", func(t *testing.T) {
		api, s := &fakeSNS{err: errors.New("down")}, &sink{}
		h := newEndpoint(t, s, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation()).json())
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Empty(t, s.take())
	})
	t.Run("only its own topic", func(t *testing.T) {
		api := &fakeSNS{}
		h := newEndpoint(t, &sink{}, subscriber.SNSClient(api))
		status, _ := post(h, oneSigner().sign(t, confirmation().with("TopicArn", topic+"2")).json())
		assert.Equal(t, http.StatusForbidden, status)
		assert.Empty(t, api.confirmed)
	})
}

// An endpoint whose subscription was ended receives no more changes, and may already have missed some.
func TestEndpointWhoseSubscriptionIsEnded(t *testing.T) {
	api, s := &fakeSNS{}, &sink{}
	var log lines
	h := newEndpoint(t, s, subscriber.SNSClient(api), subscriber.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	status, _ := post(h, oneSigner().sign(t, confirmation().with("Type", "UnsubscribeConfirmation")).json())
	assert.Equal(t, http.StatusOK, status)
	assert.Empty(t, api.confirmed, "not confirmed again, because an operator may have ended the subscription")
	assert.Equal(t, []string{"*"}, s.take())
	assert.Equal(t, subscriber.Stats{Lost: 1, InvalidatedAll: 1}, stats(h))
	assert.Contains(t, log.String(), "level=ERROR")
	assert.Contains(t, log.String(), "the subscription was ended")
}

// fakeSNS implements only ConfirmSubscription; other methods panic.
type fakeSNS struct {
	subscriber.SNS
	confirmed []string
	err       error
}

func (f *fakeSNS) ConfirmSubscription(
	_ context.Context, in *sns.ConfirmSubscriptionInput, _ ...func(*sns.Options),
) (*sns.ConfirmSubscriptionOutput, error) {
	f.confirmed = append(f.confirmed, *in.TopicArn+" "+*in.Token+" "+aws.ToString(in.AuthenticateOnUnsubscribe))
	return &sns.ConfirmSubscriptionOutput{}, f.err
}
