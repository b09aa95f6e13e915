package schema_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"roomlog/schema"
)

// Every cell of the table is as it was decided: all else that is tested of
// permissions goes by the table itself.
func TestPermissionsAreAsDecided(t *testing.T) {
	const file = "testdata/permissions.txt"
	var table bytes.Buffer
	if err := schema.WritePermissions(&table); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	decided, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Split(table.String(), "\n"), strings.Split(string(decided), "\n")
	if len(got) != len(want) {
		t.Errorf("the table has %d lines, and %s has %d", len(got), file, len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("the table says\n%s\nand %s\n%s", got[i], file, want[i])
		}
	}
}

func TestPermitsGoesByTheRolesOfTheToken(t *testing.T) {
	permits := func(name string, roles ...schema.Role) bool {
		e, _ := schema.Lookup(name)
		return e.Permits(roles)
	}
	for _, role := range []schema.Role{schema.RoleUser, schema.RoleModerator, schema.RoleAdmin, schema.RoleAuditor, schema.RoleOperator} {
		moderates := role == schema.RoleModerator || role == schema.RoleAdmin
		if !permits("post:create", role) || permits("admin:remove", schema.RoleUser, role) != moderates ||
			permits("admin:announce", schema.RoleUser, role) != (role == schema.RoleAdmin) {
			t.Errorf("%s may not, or may, what it should", role)
		}
	}
	if !permits("post:create") || permits("admin:remove") {
		t.Error("a token without a role may not what any user may, or may more")
	}
}

func TestTakesBack(t *testing.T) {
	for action, want := range map[string]bool{
		"unlike": true, "unfollow": true, "unblock": true, "decline": true, "cancel": true, "stop": true,
		"like": false, "follow": false, "block": false, "accept": false, "send": false, "start": false, "": false,
	} {
		if schema.TakesBack(action) != want {
			t.Errorf("%q takes back: %v", action, !want)
		}
	}
}
