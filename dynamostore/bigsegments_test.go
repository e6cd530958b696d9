package dynamostore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/storetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/spy"
)

func bigSegments(t *testing.T, api dynamostore.API, prefix string) subsystems.BigSegmentStore {
	t.Helper()
	s, err := dynamostore.BigSegmentStore(spy.Table).Prefix(prefix).Client(api).Build(subsystems.BasicClientContext{})
	require.NoError(t, err)
	return s
}

func memberships(included, excluded []string) map[string]types.AttributeValue {
	m := map[string]types.AttributeValue{}
	if len(included) > 0 {
		m["included"] = &types.AttributeValueMemberSS{Value: included}
	}
	if len(excluded) > 0 {
		m["excluded"] = &types.AttributeValueMemberSS{Value: excluded}
	}
	return m
}

// LaunchDarkly's test suite for big segment stores.
func TestLaunchDarklyBigSegmentSuite(t *testing.T) {
	for _, prefix := range []string{"", "test"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			cloud := localaws.New()
			cloud.CreateFlagTable(spy.Table)
			api := spy.On(cloud.DynamoDB)
			namespace := func(name string) string {
				if prefix == "" {
					return name
				}
				return prefix + ":" + name
			}
			storetest.NewBigSegmentStoreTestSuite(
				func(string) subsystems.ComponentConfigurer[subsystems.BigSegmentStore] {
					return dynamostore.BigSegmentStore(spy.Table).Prefix(prefix).Client(api)
				},
				func(string) error { return clearRows(t.Context(), cloud.DynamoDB, prefix) },
				func(_ string, m subsystems.BigSegmentStoreMetadata) error {
					api.Put(t, namespace("big_segments_metadata"), namespace("big_segments_metadata"),
						map[string]types.AttributeValue{"synchronizedOn": num(fmt.Sprint(uint64(m.LastUpToDate)))})
					return nil
				},
				func(_, hash string, included, excluded []string) error {
					api.Put(t, namespace("big_segments_user"), hash, memberships(included, excluded))
					return nil
				},
			).Run(t)
		})
	}
}

// LaunchDarkly's suite checks included segments twice and never checks excluded ones.
func TestExcludedBigSegments(t *testing.T) {
	api := spy.New()
	api.Put(t, "p:big_segments_user", "hash", memberships([]string{"in", "both"}, []string{"both", "out"}))
	for segment, want := range map[string]ldvalue.OptionalBool{
		"in": ldvalue.NewOptionalBool(true), "both": ldvalue.NewOptionalBool(true),
		"out": ldvalue.NewOptionalBool(false), "other": {},
	} {
		m, err := bigSegments(t, api, "p").GetMembership("hash")
		require.NoError(t, err)
		assert.Equal(t, want, m.CheckMembership(segment), segment)
		other, err := bigSegments(t, api, "q").GetMembership("hash")
		require.NoError(t, err)
		assert.Equal(t, ldvalue.OptionalBool{}, other.CheckMembership(segment), "another environment")
	}
	assert.Equal(t, 0, api.Writes())
}

func TestBigSegmentErrorsNameTheRow(t *testing.T) {
	api := spy.New()
	s := bigSegments(t, api, "")
	for _, broken := range []types.AttributeValue{str("soon"), num("-1")} {
		api.Put(t, "big_segments_metadata", "big_segments_metadata",
			map[string]types.AttributeValue{"synchronizedOn": broken})
		_, err := s.GetMetadata()
		require.ErrorContains(t, err, `row "big_segments_metadata"`)
	}
	api.Put(t, "big_segments_user", "hash", map[string]types.AttributeValue{"excluded": str("all")})
	_, err := s.GetMembership("hash")
	require.ErrorContains(t, err,
		`row "big_segments_user" "hash" of table "flags": attribute "excluded" is not a set of strings`)

	errDown := errors.New("down")
	api.Before = func(string, int) error { return errDown }
	_, err = s.GetMetadata()
	require.ErrorIs(t, err, errDown)
	_, err = s.GetMembership("hash")
	require.ErrorIs(t, err, errDown)
	_, err = dynamostore.BigSegmentStore("").Client(dynamodb.New(dynamodb.Options{})).AWSConfig(aws.Config{}).
		Build(subsystems.BasicClientContext{})
	require.ErrorContains(t, err, "both set")
	assert.Equal(t, ldvalue.String("DynamoDB"),
		dynamostore.BigSegmentStore(spy.Table).DescribeConfiguration(subsystems.BasicClientContext{}))
}
