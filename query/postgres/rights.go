package postgres

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"

	"sluice/access"
)

// roles walks what changes roles and rights.
func (a *analysis) roles(n *pgquery.Node) bool {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_CreateRoleStmt:
		a.effect(access.VerbCreate)
		a.named(access.KindRole, v.CreateRoleStmt.Role)
	case *pgquery.Node_AlterRoleStmt:
		a.effect(access.VerbAlter)
		a.role(v.AlterRoleStmt.Role)
	case *pgquery.Node_AlterRoleSetStmt:
		a.effect(access.VerbAlter)
		a.role(v.AlterRoleSetStmt.Role)
		a.storedSetting(v.AlterRoleSetStmt.Setstmt)
	case *pgquery.Node_DropRoleStmt:
		a.effect(access.VerbDrop)
		a.roleList(v.DropRoleStmt.Roles)
	case *pgquery.Node_GrantRoleStmt:
		a.effect(access.VerbGrant)
		for _, r := range v.GrantRoleStmt.GrantedRoles {
			a.named(access.KindRole, r.GetAccessPriv().GetPrivName())
		}
		a.roleList(v.GrantRoleStmt.GranteeRoles)
	case *pgquery.Node_GrantStmt:
		a.grant(v.GrantStmt)
	case *pgquery.Node_AlterDefaultPrivilegesStmt:
		a.effect(access.VerbGrant)
		a.roleList(v.AlterDefaultPrivilegesStmt.GetAction().GetGrantees())
		a.partial("which objects get the rights is not in the text")
	case *pgquery.Node_ReassignOwnedStmt:
		a.ddl(access.VerbAlter)
		a.roleList(v.ReassignOwnedStmt.Roles)
		a.role(v.ReassignOwnedStmt.Newrole)
		a.partial("what the roles own is not in the text")
	default:
		return false
	}
	return true
}

func (a *analysis) role(r *pgquery.RoleSpec) {
	switch {
	case r == nil:
	case r.Rolename != "":
		a.named(access.KindRole, r.Rolename)
	case r.Roletype == pgquery.RoleSpecType_ROLESPEC_PUBLIC:
		a.named(access.KindRole, "public")
	default:
		a.named(access.KindRole, a.env.User)
	}
}

func (a *analysis) roleList(list []*pgquery.Node) {
	for _, n := range list {
		a.role(n.GetRoleSpec())
	}
}

func (a *analysis) grant(s *pgquery.GrantStmt) {
	a.effect(access.VerbGrant)
	a.roleList(s.Grantees)
	for _, n := range s.Objects {
		switch {
		case s.Targtype == pgquery.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA:
			a.named(access.KindSchema, qualifiedNames(n)...)
			a.schemaRelations(lastOf(qualifiedNames(n)))
		case relationType(s.Objtype):
			a.whole(n.GetRangeVar(), false, true)
		default:
			a.named(kindOf(s.Objtype), qualifiedNames(n)...)
		}
	}
}

// foreign walks what concerns other servers.
func (a *analysis) foreign(n *pgquery.Node) bool {
	verb, name := access.VerbCreate, ""
	switch v := n.GetNode().(type) {
	case *pgquery.Node_CreateFdwStmt:
		name = v.CreateFdwStmt.Fdwname
		a.code("a foreign data wrapper")
	case *pgquery.Node_AlterFdwStmt:
		verb, name = access.VerbAlter, v.AlterFdwStmt.Fdwname
		a.code("a foreign data wrapper")
	case *pgquery.Node_CreateForeignServerStmt:
		name = v.CreateForeignServerStmt.Servername
		a.outside()
	case *pgquery.Node_AlterForeignServerStmt:
		verb, name = access.VerbAlter, v.AlterForeignServerStmt.Servername
		a.outside()
	case *pgquery.Node_CreateUserMappingStmt:
		name = v.CreateUserMappingStmt.Servername
		a.role(v.CreateUserMappingStmt.User)
		a.outside()
	case *pgquery.Node_AlterUserMappingStmt:
		verb, name = access.VerbAlter, v.AlterUserMappingStmt.Servername
		a.role(v.AlterUserMappingStmt.User)
		a.outside()
	case *pgquery.Node_ImportForeignSchemaStmt:
		name = v.ImportForeignSchemaStmt.ServerName
		a.named(access.KindSchema, v.ImportForeignSchemaStmt.LocalSchema)
		a.outside()
	case *pgquery.Node_CreatePublicationStmt:
		name = v.CreatePublicationStmt.Pubname
		a.published(v.CreatePublicationStmt.Pubobjects, v.CreatePublicationStmt.ForAllTables)
	case *pgquery.Node_AlterPublicationStmt:
		verb, name = access.VerbAlter, v.AlterPublicationStmt.Pubname
		a.published(v.AlterPublicationStmt.Pubobjects, v.AlterPublicationStmt.ForAllTables)
	case *pgquery.Node_CreateSubscriptionStmt:
		name = v.CreateSubscriptionStmt.Subname
		a.outside()
	case *pgquery.Node_AlterSubscriptionStmt:
		verb, name = access.VerbAlter, v.AlterSubscriptionStmt.Subname
		a.outside()
	default:
		return false
	}
	a.ddl(verb)
	a.named(access.KindOther, name)
	return true
}

// outside: another server, which may be this one, or a program that a foreign data
// wrapper runs.
func (a *analysis) outside() {
	a.partial("what it reaches outside of the database is not in the text")
}

// published: every row of the tables may leave the server.
func (a *analysis) published(objects []*pgquery.Node, all bool) {
	if all {
		a.partial("which tables are published is not in the text")
	}
	for _, n := range objects {
		o := n.GetPublicationObjSpec()
		if t := o.GetPubtable(); t != nil {
			a.whole(t.Relation, true, false)
		} else {
			a.named(access.KindSchema, o.GetName())
			a.schemaRelations(o.GetName())
		}
	}
}

// runs walks what runs code on the server.
func (a *analysis) runs(n *pgquery.Node) bool {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_DoStmt:
		a.effect(access.VerbDo)
		a.opaque("a DO block's code is not looked into")
	case *pgquery.Node_CallStmt:
		a.effect(access.VerbCall)
		a.call(&scope{}, v.CallStmt.Funccall, access.UseFlow)
		a.partial("a procedure may do anything")
		a.st.ReturnsRows = true
	case *pgquery.Node_LoadStmt:
		a.effect(access.VerbExecute)
		a.object(access.Object{Kind: access.KindFile, Name: v.LoadStmt.Filename, Read: true})
		a.partial("a library may do anything")
	case *pgquery.Node_AlterSystemStmt:
		a.storedSetting(v.AlterSystemStmt.Setstmt)
		a.effect(access.VerbConfigure)
		a.partial("a setting of the server may make it run anything")
		return true
	default:
		return false
	}
	a.st.DDL = true
	a.st.MayChangeSettings = true
	return true
}

// maintains walks maintenance and locks.
func (a *analysis) maintains(n *pgquery.Node) bool {
	const vacuum = access.VerbVacuum
	switch v := n.GetNode().(type) {
	case *pgquery.Node_VacuumStmt:
		a.effect(vacuum)
		for _, r := range v.VacuumStmt.Rels {
			a.maintained(r.GetVacuumRelation().GetRelation())
		}
	case *pgquery.Node_ClusterStmt:
		a.effect(vacuum)
		a.maintained(v.ClusterStmt.Relation)
		if v.ClusterStmt.Indexname != "" { // rows then lie in order of what it indexes
			a.whole(v.ClusterStmt.Relation, true, true)
		}
	case *pgquery.Node_ReindexStmt:
		a.effect(vacuum)
		a.reindex(v.ReindexStmt)
	case *pgquery.Node_RefreshMatViewStmt:
		a.effect(vacuum)
		a.refreshed(v.RefreshMatViewStmt.Relation)
	case *pgquery.Node_CheckPointStmt:
		a.effect(vacuum)
	case *pgquery.Node_LockStmt:
		a.effect(access.VerbLock)
		for _, r := range v.LockStmt.Relations {
			a.use1(r.GetRangeVar(), false, false)
		}
	default:
		return false
	}
	return true
}

func (a *analysis) maintained(rv *pgquery.RangeVar) {
	if rv != nil {
		a.use1(rv, false, true)
	}
}

// refreshed: the view is written, what lies below it is read.
func (a *analysis) refreshed(rv *pgquery.RangeVar) {
	a.use1(rv, true, true)
	a.maintenance = true
}

func (a *analysis) reindex(s *pgquery.ReindexStmt) {
	switch s.Kind {
	case pgquery.ReindexObjectType_REINDEX_OBJECT_TABLE:
		a.maintained(s.Relation)
	case pgquery.ReindexObjectType_REINDEX_OBJECT_INDEX:
		a.named(access.KindOther, catalogName(s.Relation)...)
	case pgquery.ReindexObjectType_REINDEX_OBJECT_SCHEMA:
		a.named(access.KindSchema, s.Name)
	default:
		a.named(access.KindDatabase, a.env.Database)
	}
}
