package postgres

import (
	pgquery "github.com/pganalyze/pg_query_go/v6"
	"slices"

	"sluice/access"
)

// creates walks what makes relations and what hangs on them.
func (a *analysis) creates(n *pgquery.Node) bool {
	switch v := n.GetNode().(type) {
	case *pgquery.Node_CreateStmt:
		a.createTable(v.CreateStmt)
	case *pgquery.Node_CreateForeignTableStmt:
		a.createTable(v.CreateForeignTableStmt.BaseStmt)
		a.outside()
		a.named(access.KindOther, v.CreateForeignTableStmt.Servername)
	case *pgquery.Node_CreateTableAsStmt:
		a.created(v.CreateTableAsStmt.Into.GetRel())
		a.readsQuery(v.CreateTableAsStmt.Query)
	case *pgquery.Node_ViewStmt:
		a.created(v.ViewStmt.View)
		a.st.TempViews = slices.Clone(a.st.Temp)
		a.readsQuery(v.ViewStmt.Query)
	case *pgquery.Node_CreateSeqStmt:
		a.created(v.CreateSeqStmt.Sequence)
	case *pgquery.Node_IndexStmt:
		a.altered(access.VerbCreate, v.IndexStmt.Relation)
		a.parts(v.IndexStmt.IndexParams, []*pgquery.Node{v.IndexStmt.WhereClause})
	case *pgquery.Node_CreateStatsStmt:
		a.ddl(access.VerbCreate)
		a.parts(v.CreateStatsStmt.Relations, v.CreateStatsStmt.Exprs)
	case *pgquery.Node_CreateTrigStmt:
		a.altered(access.VerbCreate, v.CreateTrigStmt.Relation)
		a.named(access.KindFunction, names(v.CreateTrigStmt.Funcname)...)
		a.code("a trigger")
	case *pgquery.Node_RuleStmt:
		a.altered(access.VerbCreate, v.RuleStmt.Relation)
		a.code("a rule")
	case *pgquery.Node_CreatePolicyStmt:
		a.altered(access.VerbCreate, v.CreatePolicyStmt.Table)
		a.parts([]*pgquery.Node{v.CreatePolicyStmt.Qual, v.CreatePolicyStmt.WithCheck})
	case *pgquery.Node_CreateSchemaStmt:
		a.createSchema(v.CreateSchemaStmt)
	default:
		return false
	}
	return true
}

func (a *analysis) createSchema(s *pgquery.CreateSchemaStmt) {
	a.ddl(access.VerbCreate)
	a.named(access.KindSchema, s.Schemaname)
	for _, n := range s.SchemaElts {
		if !a.creates(n) && !a.roles(n) {
			a.opaque("a schema element of a kind that is not known")
		}
	}
}

// createsMore walks what makes objects that are no relations.
func (a *analysis) createsMore(n *pgquery.Node) bool {
	kind, p := access.KindOther, []string(nil)
	switch v := n.GetNode().(type) {
	case *pgquery.Node_CreateFunctionStmt:
		kind, p = access.KindFunction, names(v.CreateFunctionStmt.Funcname)
		a.code("a function")
	case *pgquery.Node_CreateEventTrigStmt:
		p = []string{v.CreateEventTrigStmt.Trigname}
		a.code("an event trigger")
	case *pgquery.Node_DefineStmt:
		kind, p = kindOf(v.DefineStmt.Kind), names(v.DefineStmt.Defnames)
		a.code("a definition")
	case *pgquery.Node_CreateCastStmt:
		a.code("a cast")
	case *pgquery.Node_CreateTransformStmt:
		a.code("a transform")
	case *pgquery.Node_CreateConversionStmt:
		p = names(v.CreateConversionStmt.ConversionName)
		a.code("a conversion")
	case *pgquery.Node_CreateOpClassStmt:
		p = names(v.CreateOpClassStmt.Opclassname)
		a.code("an operator class")
	case *pgquery.Node_CreateOpFamilyStmt:
		p = names(v.CreateOpFamilyStmt.Opfamilyname)
	case *pgquery.Node_CreateDomainStmt:
		kind, p = access.KindType, names(v.CreateDomainStmt.Domainname)
		a.parts(v.CreateDomainStmt.Constraints)
		a.newType(p)
	case *pgquery.Node_CompositeTypeStmt:
		kind, p = access.KindType, catalogName(v.CompositeTypeStmt.Typevar)
		a.newType(p)
	case *pgquery.Node_CreateEnumStmt:
		kind, p = access.KindType, names(v.CreateEnumStmt.TypeName)
		a.newType(p)
	case *pgquery.Node_CreateRangeStmt:
		kind, p = access.KindType, names(v.CreateRangeStmt.TypeName)
		a.newType(p)
	case *pgquery.Node_CreatedbStmt:
		kind, p = access.KindDatabase, []string{v.CreatedbStmt.Dbname}
	case *pgquery.Node_CreateTableSpaceStmt:
		p = []string{v.CreateTableSpaceStmt.Tablespacename}
		a.object(access.Object{Kind: access.KindFile, Name: v.CreateTableSpaceStmt.Location, Write: true})
	case *pgquery.Node_CreateExtensionStmt:
		p = []string{v.CreateExtensionStmt.Extname}
		a.code("an extension")
	case *pgquery.Node_CreatePlangStmt:
		a.code("a language")
	case *pgquery.Node_CreateAmStmt:
		p = []string{v.CreateAmStmt.Amname}
		a.code("an access method")
	default:
		return false
	}
	a.ddl(access.VerbCreate)
	a.named(kind, p...)
	return true
}

// newType judges where a type is made: the session's own come before the server's,
// and no catalog shows them.
func (a *analysis) newType(p []string) {
	schema := ""
	if len(p) > 1 {
		schema = p[len(p)-2]
	}
	if in := a.createdIn(schema); in == tempSchema || in == "" {
		a.partial("a temporary type may hide one of the server's own")
	}
}

// alters walks ALTER, COMMENT and the like.
func (a *analysis) alters(n *pgquery.Node) bool {
	const alter = access.VerbAlter
	switch v := n.GetNode().(type) {
	case *pgquery.Node_AlterTableStmt:
		a.alterTable(v.AlterTableStmt)
	case *pgquery.Node_RenameStmt:
		a.moved(v.RenameStmt.RenameType, v.RenameStmt.Relation, v.RenameStmt.Object)
		a.moves(v.RenameStmt.RenameType)
		a.renamed(v.RenameStmt)
	case *pgquery.Node_AlterOwnerStmt:
		a.moved(v.AlterOwnerStmt.ObjectType, v.AlterOwnerStmt.Relation, v.AlterOwnerStmt.Object)
		a.role(v.AlterOwnerStmt.Newowner)
	case *pgquery.Node_AlterObjectSchemaStmt:
		a.moved(v.AlterObjectSchemaStmt.ObjectType, v.AlterObjectSchemaStmt.Relation, v.AlterObjectSchemaStmt.Object)
		a.moves(v.AlterObjectSchemaStmt.ObjectType)
		a.named(access.KindSchema, v.AlterObjectSchemaStmt.Newschema)
	case *pgquery.Node_AlterObjectDependsStmt:
		a.moved(v.AlterObjectDependsStmt.ObjectType, v.AlterObjectDependsStmt.Relation, v.AlterObjectDependsStmt.Object)
	case *pgquery.Node_CommentStmt:
		a.concerns(alter, v.CommentStmt.Objtype, v.CommentStmt.Object)
	case *pgquery.Node_SecLabelStmt:
		a.concerns(alter, v.SecLabelStmt.Objtype, v.SecLabelStmt.Object)
	case *pgquery.Node_AlterSeqStmt:
		a.altered(alter, v.AlterSeqStmt.Sequence)
	case *pgquery.Node_AlterPolicyStmt:
		a.altered(alter, v.AlterPolicyStmt.Table)
		a.parts([]*pgquery.Node{v.AlterPolicyStmt.Qual, v.AlterPolicyStmt.WithCheck})
	case *pgquery.Node_AlterDomainStmt:
		a.ddl(alter)
		a.named(access.KindType, names(v.AlterDomainStmt.TypeName)...)
		a.parts([]*pgquery.Node{v.AlterDomainStmt.Def})
		switch v.AlterDomainStmt.Subtype {
		case "T", "N", "X": // DEFAULT, DROP NOT NULL, DROP CONSTRAINT
		default:
			a.partial("whose values the domain checks is not in the text")
		}
	case *pgquery.Node_AlterFunctionStmt:
		a.ddl(alter)
		a.named(access.KindFunction, names(v.AlterFunctionStmt.GetFunc().GetObjname())...)
		a.code("a function")
	default:
		return a.altersMore(n)
	}
	return true
}

func (a *analysis) alterTable(s *pgquery.AlterTableStmt) {
	if s.Objtype == pgquery.ObjectType_OBJECT_INDEX || s.Objtype == pgquery.ObjectType_OBJECT_TYPE {
		a.ddl(access.VerbAlter)
		a.named(kindOf(s.Objtype), catalogName(s.Relation)...)
		if s.Objtype == pgquery.ObjectType_OBJECT_TYPE {
			a.partial("which tables are made of the type is not in the text")
		}
	} else {
		a.altered(access.VerbAlter, s.Relation)
	}
	if s.Objtype == pgquery.ObjectType_OBJECT_FOREIGN_TABLE {
		a.outside()
	}
	a.parts(s.Cmds)
}

// moved is a change that names a relation one way and other objects another.
func (a *analysis) moved(t pgquery.ObjectType, rv *pgquery.RangeVar, object *pgquery.Node) {
	if rv != nil && t != pgquery.ObjectType_OBJECT_INDEX {
		a.altered(access.VerbAlter, rv)
		for _, r := range slices.Concat(a.relation(rv.Schemaname, rv.Relname), a.hidden(rv)) {
			r.move()
		}
		return
	}
	if rv != nil {
		a.ddl(access.VerbAlter)
		a.named(access.KindOther, catalogName(rv)...)
		return
	}
	a.concerns(access.VerbAlter, t, object)
}

// renamed handles objects that RENAME names by a bare string. Everything in a
// renamed schema is named otherwise from then on.
func (a *analysis) renamed(s *pgquery.RenameStmt) {
	switch s.RenameType {
	case pgquery.ObjectType_OBJECT_SCHEMA:
		a.named(access.KindSchema, s.Subname)
		a.schemaRelations(s.Subname)
		if a.env.Catalog == nil || a.env.Catalog.HasCode(s.Subname) {
			a.partial("code that is not looked into gets another name")
		}
	case pgquery.ObjectType_OBJECT_ROLE:
		a.named(access.KindRole, s.Subname)
	case pgquery.ObjectType_OBJECT_DATABASE:
		a.named(access.KindDatabase, s.Subname)
	}
}

func (a *analysis) altersMore(n *pgquery.Node) bool {
	kind, p := access.KindOther, []string(nil)
	switch v := n.GetNode().(type) {
	case *pgquery.Node_AlterStatsStmt:
		p = names(v.AlterStatsStmt.Defnames)
	case *pgquery.Node_AlterEnumStmt:
		kind, p = access.KindType, names(v.AlterEnumStmt.TypeName)
	case *pgquery.Node_AlterTypeStmt:
		kind, p = access.KindType, names(v.AlterTypeStmt.TypeName)
		a.code("a type")
	case *pgquery.Node_AlterOperatorStmt:
		p = names(v.AlterOperatorStmt.GetOpername().GetObjname())
		a.code("an operator")
	case *pgquery.Node_AlterOpFamilyStmt:
		p = names(v.AlterOpFamilyStmt.Opfamilyname)
		a.code("an operator family")
	case *pgquery.Node_AlterCollationStmt:
		p = names(v.AlterCollationStmt.Collname)
	case *pgquery.Node_AlterTsdictionaryStmt:
		p = names(v.AlterTsdictionaryStmt.Dictname)
	case *pgquery.Node_AlterTsconfigurationStmt:
		p = names(v.AlterTsconfigurationStmt.Cfgname)
	case *pgquery.Node_AlterEventTrigStmt:
		p = []string{v.AlterEventTrigStmt.Trigname}
	case *pgquery.Node_AlterExtensionStmt:
		p = []string{v.AlterExtensionStmt.Extname}
		a.code("an extension")
	case *pgquery.Node_AlterExtensionContentsStmt:
		p = []string{v.AlterExtensionContentsStmt.Extname}
		a.code("an extension")
	case *pgquery.Node_AlterTableSpaceOptionsStmt:
		p = []string{v.AlterTableSpaceOptionsStmt.Tablespacename}
	case *pgquery.Node_AlterTableMoveAllStmt:
		p = []string{v.AlterTableMoveAllStmt.OrigTablespacename}
		a.partial("which relations move is not in the text")
	case *pgquery.Node_AlterDatabaseStmt:
		kind, p = access.KindDatabase, []string{v.AlterDatabaseStmt.Dbname}
	case *pgquery.Node_AlterDatabaseRefreshCollStmt:
		kind, p = access.KindDatabase, []string{v.AlterDatabaseRefreshCollStmt.Dbname}
	case *pgquery.Node_AlterDatabaseSetStmt:
		kind, p = access.KindDatabase, []string{v.AlterDatabaseSetStmt.Dbname}
		a.storedSetting(v.AlterDatabaseSetStmt.Setstmt)
	default:
		return false
	}
	a.ddl(access.VerbAlter)
	a.named(kind, p...)
	return true
}

// storedSetting names a setting that later sessions will begin with. The verb
// is the ALTER's; nothing changes in this session.
func (a *analysis) storedSetting(s *pgquery.VariableSetStmt) {
	name := settingName(s.GetName())
	if name == "" {
		name = "all"
	}
	a.object(access.Object{Kind: access.KindSetting, Name: name, Write: true})
	a.st.Action.SQL.Settings = append(a.st.Action.SQL.Settings, name)
}

// drops walks DROP.
func (a *analysis) drops(n *pgquery.Node) bool {
	kind, p := access.KindOther, []string(nil)
	switch v := n.GetNode().(type) {
	case *pgquery.Node_DropStmt:
		a.drop(v.DropStmt)
		return true
	case *pgquery.Node_TruncateStmt:
		a.truncate(v.TruncateStmt)
		return true
	case *pgquery.Node_DropdbStmt:
		kind, p = access.KindDatabase, []string{v.DropdbStmt.Dbname}
	case *pgquery.Node_DropTableSpaceStmt:
		p = []string{v.DropTableSpaceStmt.Tablespacename}
	case *pgquery.Node_DropSubscriptionStmt:
		p = []string{v.DropSubscriptionStmt.Subname}
	case *pgquery.Node_DropUserMappingStmt:
		p = []string{v.DropUserMappingStmt.Servername}
	case *pgquery.Node_DropOwnedStmt:
		a.roleList(v.DropOwnedStmt.Roles)
		a.partial("what the roles own is not in the text")
	default:
		return false
	}
	a.ddl(access.VerbDrop)
	a.named(kind, p...)
	return true
}

func (a *analysis) drop(s *pgquery.DropStmt) {
	if s.Behavior == pgquery.DropBehavior_DROP_CASCADE {
		a.partial("what CASCADE drops is not in the text")
	}
	for _, n := range s.Objects {
		a.concerns(access.VerbDrop, s.RemoveType, n)
		if relationType(s.RemoveType) {
			a.droppedTemp(qualifiedNames(n))
		}
		if s.RemoveType == pgquery.ObjectType_OBJECT_SCHEMA {
			a.schemaRelations(lastOf(qualifiedNames(n)))
		}
	}
}

func lastOf(p []string) string {
	if len(p) == 0 {
		return ""
	}
	return p[len(p)-1]
}

func (a *analysis) droppedTemp(p []string) {
	name := lastOf(p)
	if _, ok := a.env.Temp[name]; ok && (len(p) == 1 || p[0] == "pg_temp") {
		a.st.TempDropped = append(a.st.TempDropped, name)
	}
}

func (a *analysis) truncate(s *pgquery.TruncateStmt) {
	if s.Behavior == pgquery.DropBehavior_DROP_CASCADE {
		a.partial("what CASCADE truncates is not in the text")
	}
	a.effect(access.VerbTruncate)
	for _, n := range s.Relations {
		a.whole(n.GetRangeVar(), false, true)
	}
}
