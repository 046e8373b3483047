//! What an adoption reads, and the statements that follow from it.
//!
//! Each query lists what is still to be done, as statements that the server itself quoted: none left means done. The
//! parameters are the user ($1), the owner ($2), the other twin ($3) and our own user ($4). Every name in a statement
//! comes from the catalogs or from these parameters by way of `format('%I')`.

/// What stands in the way, as `(words, what to run)`.
pub(super) const OBSTACLES: &str = "
    SELECT x.words, x.run FROM pg_roles a, LATERAL (VALUES
        (a.rolsuper, 'is a superuser; a twin has no rights but its owner''s',
            format('ALTER ROLE %I NOSUPERUSER;', a.rolname)),
        (NOT a.rolcanlogin, 'may not log in, so nobody uses it', format('ALTER ROLE %I LOGIN;', a.rolname)),
        (NOT a.rolinherit, 'does not inherit, so that it would lose what its owner has until it logs in again',
            format('ALTER ROLE %I INHERIT;', a.rolname)),
        (coalesce(a.rolvaliduntil, 'infinity') < 'infinity', 'has an end of validity, after which it is refused',
            format('ALTER ROLE %I VALID UNTIL ''infinity'';', a.rolname)),
        (EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS c (setting)
                 WHERE s.setrole = a.oid AND c.setting LIKE 'role=%'
                   AND c.setting NOT IN ('role=' || $2, 'role=' || quote_ident($2))),
            'starts its sessions as another role than the owner', format('ALTER ROLE %I RESET role;', a.rolname)),
        (EXISTS (SELECT FROM pg_roles o WHERE o.rolname = $2 AND pg_has_role(o.oid, a.oid, 'MEMBER')),
            'has the owner as a member, so that it cannot become one of the owner''s',
            format('REVOKE %I FROM %I;', a.rolname, $2))
    ) AS x (there, words, run)
    WHERE a.rolname = $1 AND x.there";

/// Roles as they must be before anything changes hands, in order.
///
/// The second column is the name of the role that a statement makes.
pub(super) const ROLES: &str = "
    WITH v AS (SELECT current_setting('server_version_num')::int >= 160000 AS finer),
        a AS (SELECT * FROM pg_roles WHERE rolname = $1),
        o AS (SELECT * FROM pg_roles WHERE rolname = $2),
        b AS (SELECT * FROM pg_roles WHERE rolname = $3),
        m AS (SELECT * FROM pg_roles WHERE rolname = $4),
        twins AS (SELECT 0 AS nth, $1 AS name, a.oid FROM a
                  UNION ALL SELECT 1, $3, b.oid FROM (SELECT 1) AS one LEFT JOIN b ON true)
    SELECT statement, CASE step WHEN 10 THEN $2 WHEN 11 THEN $3 END FROM (
        SELECT 10 AS step, 0 AS nth, format('CREATE ROLE %I NOLOGIN', $2) AS statement
        WHERE NOT EXISTS (SELECT FROM o)
        UNION ALL SELECT 11, 0, format('CREATE ROLE %I NOLOGIN', $3) WHERE NOT EXISTS (SELECT FROM b)
        -- What a session may do beyond its rights follows the role that it has taken on.
        UNION ALL SELECT 20, 0, format('ALTER ROLE %I%s', $2, x.words) FROM (
            SELECT concat(CASE WHEN a.rolcreatedb AND NOT coalesce(o.rolcreatedb, false) THEN ' CREATEDB' END,
                CASE WHEN a.rolcreaterole AND NOT coalesce(o.rolcreaterole, false) THEN ' CREATEROLE' END,
                CASE WHEN a.rolbypassrls AND NOT coalesce(o.rolbypassrls, false) THEN ' BYPASSRLS' END) AS words
            FROM a LEFT JOIN o ON true) AS x WHERE x.words <> ''
        UNION ALL SELECT 21, 0, format('ALTER ROLE %I%s', $3, x.words) FROM (
            SELECT concat(CASE WHEN a.rolcreatedb AND NOT coalesce(b.rolcreatedb, false) THEN ' CREATEDB' END,
                CASE WHEN a.rolcreaterole AND NOT coalesce(b.rolcreaterole, false) THEN ' CREATEROLE' END,
                CASE WHEN a.rolbypassrls AND NOT coalesce(b.rolbypassrls, false) THEN ' BYPASSRLS' END,
                CASE WHEN a.rolreplication AND NOT coalesce(b.rolreplication, false) THEN ' REPLICATION' END,
                CASE WHEN NOT coalesce(b.rolinherit, true) THEN ' INHERIT' END,
                CASE WHEN a.rolconnlimit <> coalesce(b.rolconnlimit, -1)
                     THEN ' CONNECTION LIMIT ' || a.rolconnlimit END) AS words
            FROM a LEFT JOIN b ON true) AS x WHERE x.words <> ''
        UNION ALL SELECT 30, twins.nth, format('GRANT %I TO %I%s', $2, twins.name,
                CASE WHEN v.finer THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END)
            FROM v, twins LEFT JOIN o ON true
            WHERE o.oid IS NULL OR twins.oid IS NULL OR NOT pg_has_role(twins.oid, o.oid, 'MEMBER')
               OR NOT pg_has_role(twins.oid, o.oid, 'USAGE')
               OR CASE WHEN v.finer THEN NOT pg_has_role(twins.oid, o.oid, 'SET') ELSE false END
        -- Of what the user is a member, and who is one of the user's: the owner takes its place.
        UNION ALL SELECT 40, 0, format('GRANT %I TO %I%s', r.rolname, $2,
                CASE WHEN bool_or(g.admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END)
            FROM a JOIN pg_auth_members g ON g.member = a.oid JOIN pg_roles r ON r.oid = g.roleid LEFT JOIN o ON true
            WHERE r.rolname <> $2 AND (o.oid IS NULL OR NOT EXISTS (
                SELECT FROM pg_auth_members h WHERE h.member = o.oid AND h.roleid = r.oid
                    AND (h.admin_option OR NOT g.admin_option)))
            GROUP BY r.rolname
        UNION ALL SELECT 41, 0, format('GRANT %I TO %I', $2, r.rolname)
            FROM a JOIN pg_auth_members g ON g.roleid = a.oid JOIN pg_roles r ON r.oid = g.member LEFT JOIN o ON true
            WHERE r.rolname NOT IN ($2, $3, $4) AND NOT r.rolsuper
              AND (coalesce((to_jsonb(g) ->> 'inherit_option')::boolean, true)
                OR coalesce((to_jsonb(g) ->> 'set_option')::boolean, true))
              AND (o.oid IS NULL OR NOT pg_has_role(r.oid, o.oid, 'MEMBER'))
            GROUP BY r.rolname
        -- What our own user needs to change the twins.
        UNION ALL SELECT 50, 0, format('ALTER ROLE %I CREATEROLE', $4) FROM m
            WHERE NOT m.rolsuper AND NOT m.rolcreaterole
        UNION ALL SELECT 51, twins.nth,
                format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', twins.name, $4)
            FROM v, m, twins
            WHERE v.finer AND NOT m.rolsuper
              AND (twins.oid IS NULL OR NOT pg_has_role(m.oid, twins.oid, 'MEMBER WITH ADMIN OPTION'))
    ) AS steps ORDER BY step, nth, statement";

/// Databases where something is recorded of the user: what it owns, what was granted to it, policies that name it. The
/// third column says how many objects it owns there; one in no database counts for the present one.
pub(super) const DATABASES: &str = "
    SELECT d.datname::text, d.datallowconn, count(s.objid) FILTER (WHERE s.deptype = 'o'
        AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass))
    FROM pg_database d LEFT JOIN (
        SELECT CASE s.dbid WHEN 0 THEN h.oid ELSE s.dbid END AS dbid, s.classid, s.objid, s.deptype
        FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid AND r.rolname = $1,
            (SELECT oid FROM pg_database WHERE datname = current_database()) AS h
        WHERE s.refclassid = 'pg_authid'::regclass AND NOT EXISTS (
            SELECT FROM pg_class c
            WHERE s.dbid = h.oid AND s.classid = 'pg_class'::regclass AND c.oid = s.objid AND c.relpersistence = 't')
    ) AS s ON s.dbid = d.oid
    WHERE d.datname = current_database() OR s.objid IS NOT NULL OR EXISTS (
        SELECT FROM pg_db_role_setting g JOIN pg_roles r ON r.oid = g.setrole AND r.rolname = $1
        WHERE g.setdatabase = d.oid)
    GROUP BY d.datname, d.datallowconn
    ORDER BY d.datname <> current_database(), d.datname";

/// What changes hands in the present database, in order: grants, policies, ownership, default privileges.
pub(super) const CONTENTS: &str = "
    WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
    a AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
    o AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $2),
    on_what AS (
        SELECT DISTINCT d.classid, d.objid, d.deptype FROM pg_shdepend d, a, here
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = a.oid AND d.dbid IN (0, here.oid)),
    granted AS (SELECT DISTINCT classid, objid FROM on_what WHERE deptype = 'a'),
    lists AS (
        SELECT c.relowner AS owner, c.relacl AS acl, '' AS part,
            CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass AS what
            FROM granted w JOIN pg_class c ON w.classid = 'pg_class'::regclass AND c.oid = w.objid
            WHERE c.relpersistence <> 't'
        UNION ALL SELECT c.relowner, t.attacl, format(' (%I)', t.attname), 'TABLE ' || c.oid::regclass
            FROM granted w JOIN pg_class c ON w.classid = 'pg_class'::regclass AND c.oid = w.objid
            JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL AND NOT t.attisdropped
            WHERE c.relpersistence <> 't'
        UNION ALL SELECT c.nspowner, c.nspacl, '', format('SCHEMA %I', c.nspname)
            FROM granted w JOIN pg_namespace c ON w.classid = 'pg_namespace'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.datdba, c.datacl, '', format('DATABASE %I', c.datname)
            FROM granted w JOIN pg_database c ON w.classid = 'pg_database'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.proowner, c.proacl, '', 'ROUTINE ' || c.oid::regprocedure
            FROM granted w JOIN pg_proc c ON w.classid = 'pg_proc'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.typowner, c.typacl, '', 'TYPE ' || c.oid::regtype
            FROM granted w JOIN pg_type c ON w.classid = 'pg_type'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.lanowner, c.lanacl, '', format('LANGUAGE %I', c.lanname)
            FROM granted w JOIN pg_language c ON w.classid = 'pg_language'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.srvowner, c.srvacl, '', format('FOREIGN SERVER %I', c.srvname)
            FROM granted w JOIN pg_foreign_server c ON w.classid = 'pg_foreign_server'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.fdwowner, c.fdwacl, '', format('FOREIGN DATA WRAPPER %I', c.fdwname)
            FROM granted w JOIN pg_foreign_data_wrapper c
                ON w.classid = 'pg_foreign_data_wrapper'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.spcowner, c.spcacl, '', format('TABLESPACE %I', c.spcname)
            FROM granted w JOIN pg_tablespace c ON w.classid = 'pg_tablespace'::regclass AND c.oid = w.objid
        UNION ALL SELECT c.lomowner, c.lomacl, '', 'LARGE OBJECT ' || c.oid
            FROM granted w JOIN pg_largeobject_metadata c ON w.classid = 'pg_largeobject'::regclass AND c.oid = w.objid
        UNION ALL SELECT 0::oid, c.paracl, '', 'PARAMETER ' || c.parname
            FROM granted w JOIN pg_parameter_acl c ON w.classid = 'pg_parameter_acl'::regclass AND c.oid = w.objid),
    defaults AS (
        SELECT r.oid AS roleid, r.rolname, n.nspname, c.defaclobjtype, c.defaclacl,
            CASE c.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS kind
        FROM pg_default_acl c JOIN pg_roles r ON r.oid = c.defaclrole
        LEFT JOIN pg_namespace n ON n.oid = c.defaclnamespace),
    default_items AS (
        SELECT d.*, g.privilege_type, g.is_grantable, g.grantee,
            coalesce(quote_ident(t.rolname), 'PUBLIC') AS to_whom,
            CASE WHEN d.nspname IS NULL THEN '' ELSE format(' IN SCHEMA %I', d.nspname) END AS in_schema
        FROM defaults d, LATERAL aclexplode(d.defaclacl) g LEFT JOIN pg_roles t ON t.oid = g.grantee)
    SELECT statement FROM (
        SELECT 10 AS step, format('GRANT %s%s ON %s TO %I%s', g.privilege_type, l.part, l.what, $2,
                CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS statement
            FROM a, lists l CROSS JOIN LATERAL aclexplode(l.acl) g LEFT JOIN o ON true
            WHERE g.grantee = a.oid AND l.owner <> a.oid AND NOT EXISTS (
                SELECT FROM aclexplode(l.acl) h WHERE h.grantee = o.oid AND h.privilege_type = g.privilege_type
                    AND (h.is_grantable OR NOT g.is_grantable))
        UNION ALL SELECT 20, format('ALTER POLICY %I ON %s TO %s, %I', p.polname, p.polrelid::regclass,
                (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                 FROM pg_roles r WHERE r.oid = ANY (p.polroles)), $2)
            FROM a, pg_policy p LEFT JOIN o ON true
            WHERE a.oid = ANY (p.polroles) AND (o.oid IS NULL OR NOT o.oid = ANY (p.polroles))
        UNION ALL SELECT 30, format('REASSIGN OWNED BY %I TO %I', $1, $2)
            WHERE EXISTS (
                SELECT FROM on_what w WHERE w.deptype = 'o'
                  AND w.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
                  AND NOT EXISTS (SELECT FROM pg_class c WHERE w.classid = 'pg_class'::regclass AND c.oid = w.objid
                      AND c.relpersistence = 't'))
        -- What others grant the user in advance goes to the owner as well.
        UNION ALL SELECT 40, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %I%s', i.rolname,
                i.in_schema, i.privilege_type, i.kind, $2,
                CASE WHEN i.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM a, default_items i LEFT JOIN o ON true
            WHERE i.grantee = a.oid AND i.roleid <> a.oid AND NOT EXISTS (
                SELECT FROM aclexplode(i.defaclacl) h WHERE h.grantee = o.oid AND h.privilege_type = i.privilege_type)
        -- What the user grants in advance becomes the owner's, who will make the objects. A list without a schema
        -- takes the place of the built-in one, which grants PUBLIC the use of functions and types.
        UNION ALL SELECT 50, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE ALL ON %s FROM PUBLIC', $2, d.kind)
            FROM defaults d, a WHERE d.roleid = a.oid AND d.nspname IS NULL AND d.defaclobjtype IN ('f', 'T')
        UNION ALL SELECT 51, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %s%s', $2, i.in_schema,
                i.privilege_type, i.kind, CASE WHEN i.grantee = a.oid THEN quote_ident($2) ELSE i.to_whom END,
                CASE WHEN i.is_grantable AND i.grantee <> a.oid THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM a, default_items i WHERE i.roleid = a.oid AND (i.grantee <> a.oid OR i.nspname IS NOT NULL)
        UNION ALL SELECT 52, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s', $1,
                i.in_schema, i.kind, i.to_whom)
            FROM a, default_items i WHERE i.roleid = a.oid AND (i.grantee <> a.oid OR i.nspname IS NOT NULL)
            GROUP BY i.in_schema, i.kind, i.to_whom
        UNION ALL SELECT 53, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT ALL ON %s TO %I', $1, d.kind, $1)
            FROM defaults d, a WHERE d.roleid = a.oid AND d.nspname IS NULL
        UNION ALL SELECT 54, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT %s ON %s TO PUBLIC', $1,
                CASE d.defaclobjtype WHEN 'f' THEN 'EXECUTE' ELSE 'USAGE' END, d.kind)
            FROM defaults d, a WHERE d.roleid = a.oid AND d.nspname IS NULL AND d.defaclobjtype IN ('f', 'T')
    ) AS steps ORDER BY step, statement";

/// Whether there is a schema that `\"$user\"` in the user's search path means.
pub(super) const HAS_OWN_SCHEMA: &str = "SELECT true FROM pg_namespace WHERE nspname = $1";

/// Foreign servers at which only the user has a mapping: its password there is not ours to copy.
pub(super) const MAPPINGS: &str = "
    SELECT m.srvname::text FROM pg_user_mappings m
    WHERE m.usename = $1 AND NOT EXISTS (
        SELECT FROM pg_user_mappings n WHERE n.srvid = m.srvid AND (n.umuser = 0 OR n.usename = $2))";

/// What comes last, in order: the other twin gets the user's settings, and sessions start as the owner. Before the
/// contents have changed hands, a session that starts as the owner would have no rights.
pub(super) const SETTINGS: &str = "
    WITH a AS (SELECT oid FROM pg_roles WHERE rolname = $1),
    b AS (SELECT oid FROM pg_roles WHERE rolname = $3),
    set_of AS (
        SELECT s.setrole, s.setdatabase, d.datname, split_part(c.setting, '=', 1) AS name,
            substr(c.setting, strpos(c.setting, '=') + 1) AS value
        FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c (setting)),
    missing AS (
        SELECT s.datname, s.name, s.value FROM a JOIN set_of s ON s.setrole = a.oid
        WHERE s.name <> 'role' AND NOT EXISTS (
            SELECT FROM b JOIN set_of t ON t.setrole = b.oid
            WHERE (t.setdatabase, t.name, t.value) = (s.setdatabase, s.name, s.value)))
    SELECT statement FROM (
        SELECT 10 AS step, 0 AS nth, format('ALTER ROLE %I%s SET %s TO %s', $3,
            CASE WHEN m.datname IS NULL THEN '' ELSE format(' IN DATABASE %I', m.datname) END,
            (SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(m.name, '.')) AS part),
            -- These are lists of names, already quoted; a list in one pair of quotes would be one name.
            CASE WHEN m.name IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',
                    'session_preload_libraries', 'shared_preload_libraries', 'unix_socket_directories')
                 THEN CASE WHEN m.value = '' THEN '''''' ELSE m.value END
                 ELSE quote_literal(m.value) END) AS statement
        FROM missing m
        UNION ALL SELECT 20, t.nth, format('ALTER ROLE %I SET role = %I', t.name, $2)
        FROM (VALUES (0, $1), (1, $3)) AS t (nth, name)
        WHERE NOT EXISTS (
            SELECT FROM pg_roles r JOIN set_of s ON s.setrole = r.oid
            WHERE r.rolname = t.name AND s.setdatabase = 0 AND s.name = 'role' AND s.value IN ($2, quote_ident($2)))
    ) AS steps ORDER BY step, nth, statement";
