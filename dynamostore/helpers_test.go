package dynamostore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/spy"
)

var features, segments = ldstoreimpl.Features(), ldstoreimpl.Segments()

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func open(t *testing.T, api dynamostore.API, prefix string) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.DataStore(spy.Table).Prefix(prefix).Client(api).Open(t.Context())
	require.NoError(t, err)
	return s
}

// item makes a flag or segment; equal arguments make equal items.
func item(key string, version int) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{Version: version,
		SerializedItem: fmt.Appendf(nil, `{"key":%q,"version":%d,"salt":"s"}`, key, version)}
}

func keyed(key string, i st.SerializedItemDescriptor) st.KeyedSerializedItemDescriptor {
	return st.KeyedSerializedItemDescriptor{Key: key, Item: i}
}

// data makes an environment from "flag:version" words, and the one segment "everyone".
func data(flags ...string) []st.SerializedCollection {
	all := []st.SerializedCollection{
		{Kind: segments, Items: []st.KeyedSerializedItemDescriptor{keyed("everyone", item("everyone", 1))}},
		{Kind: features},
	}
	for _, f := range flags {
		var key string
		var version int
		_, _ = fmt.Sscanf(strings.Replace(f, ":", " ", 1), "%s %d", &key, &version)
		all[1].Items = append(all[1].Items, keyed(key, item(key, version)))
	}
	return all
}

// flags returns the versions of the table's flags by key.
func flags(t *testing.T, s *dynamostore.Store) map[string]int {
	t.Helper()
	all, err := s.GetAll(features)
	require.NoError(t, err)
	m := map[string]int{}
	for _, i := range all {
		m[i.Key] = i.Item.Version
	}
	return m
}
