package warmflags

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// configurationError is an error that only a change of the configuration can fix.
type configurationError struct {
	problem, hint string
	cause         error // may be nil
}

func (e *configurationError) Error() string { return e.problem + ". hint: " + e.hint }

func (e *configurationError) Unwrap() error { return e.cause }

func isConfiguration(err error) bool {
	var configuration *configurationError
	return errors.As(err, &configuration)
}

// checkTable reads the $inited marker of the prefix. It returns a *configurationError if the marker is missing, if
// the table does not exist, or if the configuration prevents reading it. Any other error may be temporary.
func (s settings) checkTable(ctx context.Context) error {
	filled, err := s.holdsData(ctx, s.prefix)
	if err != nil {
		return s.explain(err)
	}
	if filled {
		return nil
	}
	hint := `fill it with "warmflags sync", or set PREFIX to a prefix that has flags in it`
	if s.prefix != "" {
		if filled, err := s.holdsData(ctx, ""); err == nil && filled {
			hint = "it holds flags without a prefix; remove PREFIX to use them"
		}
	}
	problem := fmt.Sprintf("table %q holds no flags for prefix %q", s.table, s.prefix)
	return &configurationError{problem: problem, hint: hint, cause: cachedstore.ErrNoData}
}

// holdsData reports whether the table holds the flags of a prefix.
func (s settings) holdsData(ctx context.Context, prefix string) (bool, error) {
	marker := &types.AttributeValueMemberS{Value: layout.Namespace(prefix, layout.MarkerInited)}
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            map[string]types.AttributeValue{layout.AttrNamespace: marker, layout.AttrKey: marker},
		ConsistentRead: aws.Bool(true),
	})
	return err == nil && out.Item != nil, err
}

// hints has advice for the error codes that no retry can fix.
var hints = map[string]string{
	"ResourceNotFoundException": "check TABLE_NAME, the AWS region and the AWS account",
	"AccessDeniedException": "allow dynamodb:GetItem and dynamodb:Query, for example with the stack's " +
		"ReaderPolicy",
	"ValidationException":         "the table needs the string keys namespace (partition) and key (sort)",
	"UnrecognizedClientException": "check the AWS credentials",
}

func (s settings) explain(err error) error {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		if hint, ok := hints[refused.ErrorCode()]; ok {
			return &configurationError{fmt.Sprintf("table %q cannot be read: %v", s.table, err), hint, err}
		}
	}
	return fmt.Errorf("read table %q: %w", s.table, err)
}
