package aws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/smithy-go"
)

// The region and account ID in ARNs and URLs.
const (
	region    = "us-east-1"
	accountID = "000000000000"
)

// defaultPageSize is DynamoDB's limit of a page, in bytes of items.
const defaultPageSize = 1 << 20

// Cloud is one AWS account in memory. It and its services are safe for concurrent use.
type Cloud struct {
	DynamoDB *DynamoDB
	Streams  *Streams
	SNS      *SNS
	SQS      *SQS

	// Logger gets a line for each message that is not delivered. Nil: slog.Default(). Set it before use.
	Logger *slog.Logger

	// NoDeadlines lets a call fail only if its context is canceled, not if its deadline has passed: for tests on the
	// real clock, which a pause of the machine must not fail. Set it before use.
	NoDeadlines bool

	work     sync.WaitGroup // goroutines of background
	life     context.Context
	stopLife context.CancelFunc

	mu           sync.Mutex // guards the fields below
	intercept    func(context.Context, string, any) error
	calls        map[string]int
	pageSize     int
	betweenItems func()
}

// New returns an empty account.
func New() *Cloud {
	c := &Cloud{calls: map[string]int{}, pageSize: defaultPageSize}
	c.life, c.stopLife = context.WithCancel(context.Background())
	c.DynamoDB = &DynamoDB{cloud: c, tables: map[string]*table{}}
	c.Streams = &Streams{db: c.DynamoDB}
	c.SNS = &SNS{cloud: c, topics: map[string]*topic{}, subscriptions: map[string]*subscription{}}
	c.SQS = &SQS{cloud: c, queues: map[string]*queue{}, deleted: map[string]time.Time{}}
	return c
}

// Close stops SNS's retries and waits until they have ended. Calls still work afterwards, but nothing runs in the
// background any more. Close may be called more than once.
func (c *Cloud) Close() {
	c.mu.Lock()
	c.stopLife()
	c.mu.Unlock()
	c.work.Wait()
}

// background runs f in a goroutine, unless the account is closed. Close ends f's context.
func (c *Cloud) background(f func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() == nil {
		c.work.Go(func() { f(c.life) })
	}
}

// pause waits for d and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Cloud) log() *slog.Logger {
	if c.Logger == nil {
		return slog.Default()
	}
	return c.Logger
}

// Intercept sets a function that is called before every call, with the operation's name and input, such as "GetItem"
// and a *dynamodb.GetItemInput. If f returns an error, the call returns it, wrapped, and has no effect. f may block,
// for example until its context ends, and may make calls itself. It must be safe for concurrent use. Nil removes it.
func (c *Cloud) Intercept(f func(ctx context.Context, operation string, input any) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intercept = f
}

// Calls returns the number of calls of an operation, such as "GetItem", including failed and intercepted calls.
func (c *Cloud) Calls(operation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[operation]
}

// PageSize limits the pages of Query, Scan and GetRecords to a number of bytes. A page has at least one item.
// Default, zero and negative: 1 MB.
func (c *Cloud) PageSize(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pageSize = bytes
	if bytes <= 0 {
		c.pageSize = defaultPageSize
	}
}

func (c *Cloud) page() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pageSize
}

// BetweenItems sets a function that is called whenever a TransactWriteItems has applied one of its items and not yet
// the next. The outcome of the transaction is then already decided. f may read; like every Query, Scan or GetItem, it
// sees some new items and some old ones, as in AWS. Nil removes it.
func (c *Cloud) BetweenItems(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.betweenItems = f
}

func (c *Cloud) between() {
	c.mu.Lock()
	f := c.betweenItems
	c.mu.Unlock()
	if f != nil {
		f()
	}
}

// call runs every operation: it counts the call, calls the interceptor, refuses unsupported parameters, and wraps
// errors as the SDK does.
func call[I, O any](ctx context.Context, c *Cloud, service, operation string, in *I,
	do func(*I) (*O, error)) (*O, error) {
	if in == nil {
		in = new(I)
	}
	out, err := (*O)(nil), c.enter(ctx, operation, in)
	if err == nil {
		err = checkFields(operation, in)
	}
	if err == nil {
		out, err = do(in)
	}
	if err != nil {
		return nil, &smithy.OperationError{ServiceID: service, OperationName: operation, Err: err}
	}
	return out, nil
}

func (c *Cloud) enter(ctx context.Context, operation string, in any) error {
	c.mu.Lock()
	c.calls[operation]++
	intercept := c.intercept
	c.mu.Unlock()
	if intercept != nil {
		if err := intercept(ctx, operation, in); err != nil {
			return err
		}
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) || err != nil && !c.NoDeadlines {
		return &smithy.CanceledError{Err: err}
	}
	return nil
}

// newID returns a random UUID (version 4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
