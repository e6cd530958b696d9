package flagsync

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/dynamostore"
)

// atOnce bounds the environments that are synced at the same time: each is in memory as a whole.
const atOnce = 4

// Handler syncs all environments of a table when Lambda hands it requests from the queue. It is safe for
// concurrent use.
type Handler struct {
	open    func(ctx context.Context, prefix string) (*dynamostore.Store, error)
	keys    Keys
	options []Option

	mu     sync.Mutex // guards stores
	stores map[string]*dynamostore.Store
}

// NewHandler makes a handler. Open makes the store of a prefix, once each; keys says which prefixes there are.
func NewHandler(open func(ctx context.Context, prefix string) (*dynamostore.Store, error), keys Keys, options ...Option) *Handler {
	return &Handler{open: open, keys: keys, options: options, stores: map[string]*dynamostore.Store{}}
}

// Handle is one sync of each environment, however many requests there are and whatever they say: a request is a
// reason to look. An environment that fails does not stop the others. Then the error joins all failures, and
// all requests come again: every event is given as failed, which only matters where the error is not seen.
func (h *Handler) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	err := h.syncAll(ctx)
	var response events.SQSEventResponse
	if err != nil {
		for _, record := range event.Records {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return response, err
}

func (h *Handler) syncAll(ctx context.Context) error {
	keys, err := h.keys(ctx, false)
	if err != nil {
		return err
	}
	var group errgroup.Group // without a context: one that fails must not cancel the others
	group.SetLimit(atOnce)
	var mu sync.Mutex // guards failures
	var failures []error
	for prefix, key := range keys {
		group.Go(func() error {
			if err := h.syncOne(ctx, prefix, key); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, err)
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(failures...)
}

// syncOne syncs an environment. When its key is refused, it was perhaps rotated: it is read again, once.
func (h *Handler) syncOne(ctx context.Context, prefix, key string) error {
	store, err := h.store(ctx, prefix)
	if err != nil {
		return fmt.Errorf("open prefix %q: %w", prefix, err)
	}
	_, err = New(store, key, h.options...).Sync(ctx)
	if !errors.Is(err, ErrUnauthorized) {
		return err
	}
	// Others may do the same at the same time, each for its own prefix: that costs a read each, and only then.
	keys, again := h.keys(ctx, true)
	if again != nil {
		return errors.Join(err, again)
	}
	if fresh := keys[prefix]; fresh != "" && fresh != key {
		_, err = New(store, fresh, h.options...).Sync(ctx)
	}
	return err
}

func (h *Handler) store(ctx context.Context, prefix string) (*dynamostore.Store, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.stores[prefix]; ok {
		return s, nil
	}
	s, err := h.open(ctx, prefix)
	if err == nil {
		h.stores[prefix] = s
	}
	return s, err
}
