package aws

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/smithy-go"
)

// Where everything in the account is, as it stands in ARNs and URLs.
const (
	region    = "us-east-1"
	accountID = "000000000000"
)

// defaultPageSize is how many bytes of items DynamoDB returns in one page.
const defaultPageSize = 1 << 20

// Cloud is one AWS account in memory. It and its services are safe for concurrent use.
type Cloud struct {
	DynamoDB *DynamoDB
	Streams  *Streams
	SNS      *SNS
	SQS      *SQS

	// Logger gets a line for each message that is not delivered. Nil: slog.Default(). Set it before use.
	Logger *slog.Logger

	work     sync.WaitGroup // goroutines of background
	life     context.Context
	stopLife context.CancelFunc

	mu           sync.Mutex // guards what follows
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

// Close stops SNS's repeated deliveries, and waits for them to end. Calls still work after it, but nothing is done in
// the background any more. It can be called twice.
func (c *Cloud) Close() {
	c.mu.Lock()
	c.stopLife()
	c.mu.Unlock()
	c.work.Wait()
}

// background runs f, whose context Close ends, unless the account is closed.
func (c *Cloud) background(f func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() == nil {
		c.work.Go(func() { f(c.life) })
	}
}

// pause waits for d, and reports whether ctx was still alive then.
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

// Intercept has f called before every call, with the operation's name and input, such as "GetItem" and a
// *dynamodb.GetItemInput. When f returns an error, the call returns it, wrapped, and does nothing else. f may block
// (until its context ends, say), may be called concurrently and may make calls itself. Nil removes it.
func (c *Cloud) Intercept(f func(ctx context.Context, operation string, input any) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.intercept = f
}

// Calls is how many calls of an operation, such as "GetItem", were made so far, failed and intercepted ones included.
func (c *Cloud) Calls(operation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[operation]
}

// PageSize limits pages of Query, Scan and GetRecords to so many bytes, at least one item each. Default: 1 MB, which
// zero and negative values restore.
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

// BetweenItems has f called whenever a TransactWriteItems has applied one of its items and not yet the next. The
// transaction is decided by then. f may read: like any Query, Scan or GetItem it sees some items new and some old,
// as in AWS. Nil removes it.
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

// call is the way into every operation: it counts, lets the interceptor decide, refuses unsupported parameters, and
// wraps errors as the SDK does.
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
	if err := ctx.Err(); err != nil {
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
