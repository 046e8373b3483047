-- Lets PgBouncer ask the server for users as they are now. Run as a superuser in each database that it serves.

-- Once for the cluster. Set its password with \password, and write it to PgBouncer's auth_file.
CREATE ROLE pgbouncer LOGIN;

CREATE SCHEMA pgbouncer;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer;

-- Verifiers of whoever may log in, and of nobody with rights over others.
CREATE FUNCTION pgbouncer.look_up(wanted text) RETURNS TABLE (name text, verifier text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$
        SELECT rolname, rolpassword FROM pg_authid
        WHERE rolname = wanted AND rolcanlogin AND NOT (rolsuper OR rolcreaterole OR rolreplication)
    $$;
REVOKE ALL ON FUNCTION pgbouncer.look_up(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.look_up(text) TO pgbouncer;
